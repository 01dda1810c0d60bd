// The page: the rooms one is in, the name one has, and what the controls do. The wire is in connection.js, a room's log
// in room.js, words and links in text.js.

import { Connection, Lost, Refused } from './connection.js';
import { Room } from './room.js';
import { explained, explainedCode, isolated } from './text.js';

const $ = (id) => document.getElementById(id);
const store = {
  // A browser may forbid to store anything; then the next visit begins anew.
  get: (storage, key) => { try { return window[storage].getItem(`parlor.${key}`); } catch { return null; } },
  set: (storage, key, value) => { try { window[storage].setItem(`parlor.${key}`, value); } catch { /* As said. */ } },
};

/** By name. Names are strings here: a room that others call by a number is another room, and cannot get mixed up. */
const rooms = new Map();
let active = null;
let nickname = store.get('sessionStorage', 'nickname') ?? store.get('localStorage', 'nickname') ?? '';
/** The name that the server knows us by. Not `nickname` while somebody else has that, or while there is no line. */
let known = null;
let nameAttempts = 0;
let nameTimer = 0;
/** The dialog is open for somebody who has neither a name nor a room yet. */
let isAtDoor = false;

const connection = new Connection(new URL('ws', location.href.replace(/^http/, 'ws')), {
  opened: enter,
  message: receive,
  lost: leaveAll,
  // To ask for the name that one has changes nothing. Without one the attempts to get it are probes enough.
  probe: () => known !== null && takeName(),
});

// The line

function enter() {
  takeName();
  for (const room of rooms.values()) join(room);
}

function receive({ room_id, author, text }) {
  const room = rooms.get(room_id);
  if (!room) return;
  room.add(author, text, author === known);
  changed();
}

function leaveAll(words, code, wasOpen) {
  clearTimeout(nameTimer);
  known = null;
  for (const room of rooms.values()) if (room.joined) room.lostAt ??= connection.heardAt;
  const why = words ? explained(words) : navigator.onLine ? explainedCode(code, wasOpen) : 'Your device is offline.';
  say(`${why} Trying again…`, 'retry');
  if (isAtDoor) $('name-error').textContent = `${why} Trying again…`;
}

/** Says something about the connection, and offers what one can do about it. */
function say(text, button = null) {
  // Said once only: a screen reader would read it again.
  if ($('status').textContent !== text) $('status').textContent = text;
  $('retry').hidden = button !== 'retry';
  $('other-name').hidden = button !== 'other-name';
}

// The name

/** Asks the server for a name. `inDialog`: it was typed there, and what comes of it is told there. */
async function takeName(wanted = nickname, inDialog = isAtDoor) {
  clearTimeout(nameTimer);
  try {
    await connection.request({ action: 'LOGIN NICK', nickname: wanted });
  } catch (error) {
    if (error instanceof Refused) nameRefused(error.message, inDialog);
    else if (inDialog && !isAtDoor) nameError('The connection was lost. Try it again.');
    return;
  }
  nickname = known = wanted;
  nameAttempts = 0;
  store.set('localStorage', 'nickname', known);
  store.set('sessionStorage', 'nickname', known);
  say('');
  for (const room of rooms.values()) if (room.error === NOT_NOW) refuse(room, '');
  changed();
  if (inDialog) $('welcome').close();
}

/** In the dialog one chooses another. Elsewhere it may be one's own lost connection that still has the name: go on trying. */
function nameRefused(message, inDialog) {
  if (!inDialog) known = null;
  if (inDialog || !message.startsWith('Nickname already in use')) {
    say('');
    return inDialog ? nameError(explained(message)) : openWelcome(explained(message));
  }
  say(`The name ${isolated(nickname)} is still in use, perhaps by your lost connection or in another tab. Trying again… You can read meanwhile.`, 'other-name');
  const longest = Math.min(15_000, 1000 * 2 ** nameAttempts++);
  nameTimer = setTimeout(takeName, longest * (0.5 + Math.random() / 2));
}

function openWelcome(error = '') {
  $('nickname').value = nickname;
  $('enter-room').value = roomOfLink() || 'lobby';
  isAtDoor = known === null && rooms.size === 0;
  $('first-room').hidden = !isAtDoor;
  $('cancel').hidden = isAtDoor;
  $('welcome-title').textContent = isAtDoor ? 'Come in' : 'Change your nickname';
  if (!$('welcome').open) $('welcome').showModal();
  nameError(error);
}

function nameError(text) {
  $('name-error').textContent = text;
  $('nickname').setAttribute('aria-invalid', String(text !== ''));
  $('nickname').select();
}

/** OK in the dialog, which closes when the server has given the name. Until then one keeps the name that one has. */
function submitWelcome() {
  const wanted = typed('nickname');
  $('name-error').textContent = '';
  if (!$('first-room').hidden) open(typed('enter-room') || 'lobby');
  $('first-room').hidden = true;
  if (isAtDoor) nickname = wanted;
  if (connection.isOpen) takeName(wanted, true);
  else if (isAtDoor) connect();
  else nameError('You are not connected. Try it again when you are.');
}

function connect() {
  say('Connecting…');
  connection.open();
}

// Rooms

/** Shows the room, and joins it if one is not in it. */
function open(name) {
  if (!rooms.has(name)) {
    const room = new Room(name, changed);
    room.draft = store.get('sessionStorage', `draft in ${name}`) ?? '';
    rooms.set(name, room);
    $('logs').prepend(room.log);
    $('rooms').append(room.item);
    room.tab.addEventListener('click', () => { show(room); focusText(); });
    join(room);
  }
  show(rooms.get(name));
}

async function join(room) {
  try {
    await connection.request({ action: 'JOIN ROOM', room_id: room.name });
  } catch (error) {
    if (!(error instanceof Refused) || rooms.get(room.name) !== room) return;
    if (room.lostAt) {
      room.addNote(`You are not in this room any more. ${explained(error.message)}`);
      return changed();
    }
    remove(room);
    openJoin();
    $('join-room').value = room.name;
    $('join-error').textContent = explained(error.message);
    return;
  }
  room.joined = true;
  if (!room.lostAt) {
    room.addNote('You are in this room. Earlier messages are not kept. To invite others, give them the address of this page.');
    if (/^-?\d+$/.test(room.name)) room.addNote(`Programs that join the number ${room.name} are in another room than this one.`);
  } else {
    const times = [room.lostAt, new Date()].map((time) => time.toLocaleTimeString());
    room.addNote(`Messages may be missing here, from ${times[0]} to ${times[1]}: the connection was lost.`);
    room.lostAt = null;
  }
  changed();
}

function show(room) {
  if (room !== active) active?.hide();
  active = room;
  history.replaceState(null, '', room ? `#${encodeURIComponent(room.name)}` : '#');
  $('empty').hidden = room !== null;
  $('head').hidden = $('logs').hidden = $('composer').hidden = room === null;
  if (room) {
    $('room-name').textContent = room.name;
    $('room-link').href = location.href;
    $('text').value = room.draft;
    $('send-error').textContent = room.error;
    room.show();
  }
  closeJoin();
  store.set('sessionStorage', 'rooms', [...rooms.keys()].map(encodeURIComponent).join(' '));
  changed();
}

function leave(room) {
  connection.request({ action: 'LEFT ROOM', room_id: room.name }).catch(() => {});
  remove(room);
  if (active) focusText();
  else openJoin();
}

function remove(room) {
  const names = [...rooms.keys()];
  const at = names.indexOf(room.name);
  rooms.delete(room.name);
  room.log.remove();
  room.item.remove();
  if (room === active) show(rooms.get(names[at + 1] ?? names[at - 1]) ?? null);
}

function roomOfLink() {
  return decoded(location.hash.slice(1)).trim();
}

function decoded(name) {
  try { return decodeURIComponent(name); } catch { return name; }
}

// Drawing. Messages are drawn once a frame, counts a few times a second, however many come.

let isDrawing = false;
let isCounting = false;

function changed() {
  isDrawing ||= requestAnimationFrame(draw);
  isCounting ||= setTimeout(count, 100);
}

function draw() {
  isDrawing = false;
  active?.draw();
  $('more').hidden = !active || active.following;
  const unread = active?.unread;
  $('more').textContent = unread ? `↓ ${unread} new message${unread === 1 ? '' : 's'}` : '↓ More below';
}

function count() {
  isCounting = false;
  let total = 0;
  for (const room of rooms.values()) {
    total += room.unread;
    room.count();
  }
  $('own-name').textContent = nickname || 'Choose a nickname';
  document.title = `${total ? `(${total}) ` : ''}${active ? `${isolated(active.name)} – ` : ''}parlor`;
}

// Writing

const NOT_NOW = 'This cannot be sent at the moment, see above. Your text stays here.';
/** A timer for each message that the server has not answered within a second. */
const late = new Set();

async function send(room, text) {
  if (!text.trim()) return;
  if (known === null) return refuse(room, NOT_NOW);
  setDraft(room, '');
  refuse(room, '');
  room.toEnd();
  focusText();
  const timer = setTimeout(() => { late.add(timer); showLate(); }, 1000);
  try {
    await connection.request({ action: 'SEND MESSAGE', room_id: room.name, text: text.toWellFormed() });
  } catch (error) {
    setDraft(room, room.draft ? `${text}\n${room.draft}` : text);
    refuse(room, error instanceof Lost
      ? 'The connection was lost while this was on its way. It may have arrived: have a look before you send it again.'
      : explained(error.message));
  }
  clearTimeout(timer);
  late.delete(timer);
  showLate();
}

function showLate() {
  $('sending').textContent = late.size === 0 ? '' : late.size === 1 ? 'Sending…' : `Sending ${late.size} messages…`;
}

function refuse(room, why) {
  room.error = why;
  if (room === active) $('send-error').textContent = why;
}

function setDraft(room, text) {
  room.draft = text;
  store.set('sessionStorage', `draft in ${room.name}`, text);
  // The place where one writes would move.
  if (room === active && $('text').value !== text) $('text').value = text;
}

/** Not with a finger: a keyboard would cover half of the screen. */
function focusText() {
  if (active && !matchMedia('(pointer: coarse)').matches) $('text').focus({ preventScroll: true });
}

// Controls

function openJoin() {
  $('add').setAttribute('aria-expanded', 'true');
  $('join-room').focus();
}

function closeJoin() {
  $('add').setAttribute('aria-expanded', 'false');
  $('join-error').textContent = '';
}

const on = (id, type, listener) => $(id).addEventListener(type, listener);
const typed = (id) => $(id).value.trim().toWellFormed();
const onSubmit = (id, submit) => on(id, 'submit', (event) => { event.preventDefault(); submit(); });

onSubmit('enter', submitWelcome);
onSubmit('join', () => {
  open(typed('join-room'));
  $('join-room').value = '';
  focusText();
});
onSubmit('composer', () => send(active, $('text').value));

on('name', 'click', () => openWelcome());
on('other-name', 'click', () => { clearTimeout(nameTimer); openWelcome(); });
on('retry', 'click', () => { connect(); focusText(); });
on('cancel', 'click', () => $('welcome').close());
on('welcome', 'close', () => {
  // Before one has a name there is nothing behind the dialog, and Escape cannot be forbidden everywhere.
  if (isAtDoor && known === null) return $('welcome').showModal();
  isAtDoor = false;
  // The attempts at one's old name rest while one thinks of another.
  if (known === null && connection.isOpen) takeName();
  focusText();
});
on('add', 'click', () => ($('add').getAttribute('aria-expanded') === 'true' ? closeJoin() : openJoin()));
on('leave', 'click', () => leave(active));
on('more', 'click', () => {
  if (document.activeElement === $('more')) active.log.focus();
  active.toEnd();
});
// The field keeps the focus, and a phone its keyboard.
for (const id of ['send', 'more']) on(id, 'mousedown', (event) => event.preventDefault());
on('text', 'input', () => { setDraft(active, $('text').value); refuse(active, ''); });
on('text', 'keydown', (event) => {
  // Enter may also end the choice of a Japanese or Chinese word, which Safari tells by its code alone.
  if (event.key === 'Enter' && !event.shiftKey && !event.isComposing && event.keyCode !== 229) {
    event.preventDefault();
    send(active, $('text').value);
  }
});

addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && !$('welcome').open) focusText();
  if (!event.altKey || !active || !['ArrowUp', 'ArrowDown'].includes(event.key)) return;
  event.preventDefault();
  const all = [...rooms.values()];
  show(all.at((all.indexOf(active) + (event.key === 'ArrowUp' ? -1 : 1)) % all.length));
  focusText();
});
addEventListener('hashchange', () => {
  if (roomOfLink()) open(roomOfLink());
  focusText();
});
document.addEventListener('visibilitychange', changed);

// A phone's keyboard covers the page without making it smaller; the body follows what can be seen.
function fitPage() {
  const view = window.visualViewport;
  if (!view || view.scale > 1.01) return;
  document.body.style.height = `${view.height}px`;
  document.body.style.top = `${view.offsetTop}px`;
}
visualViewport?.addEventListener('resize', fitPage);
visualViewport?.addEventListener('scroll', fitPage);
fitPage();
new ResizeObserver(() => active?.showTab()).observe($('rooms'));

// The start

const link = roomOfLink();
if (nickname) {
  for (const name of (store.get('sessionStorage', 'rooms') ?? '').split(' ')) if (name) open(decoded(name));
  if (link) open(link);
}
if (active) connect();
else openWelcome();
count();
