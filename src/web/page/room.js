// One room on the page: its log, what has come and is not drawn yet, the place where one reads, and its entry in the
// list of rooms. Knows nothing of the connection.

import { hue, withLinks } from './text.js';

/** Messages that a room keeps. Twice as many while one reads further up, so that they do not vanish below one's eyes. */
const KEPT = 500;
/** A longer text is shown in part, with a button for the rest. */
const LONG = { characters: 1500, lines: 20 };
/** So near to the end counts as the end. */
const NEAR = 8;

const CLOCK = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit' });
const FULL = new Intl.DateTimeFormat(undefined, { dateStyle: 'full', timeStyle: 'medium' });
const DAY = new Intl.DateTimeFormat(undefined, { weekday: 'long', day: 'numeric', month: 'long' });

export class Room {
  /** The server has let us into this room. */
  joined = false;
  /** What was typed here and not sent, and what went wrong here last. */
  draft = '';
  error = '';
  unread = 0;
  /** One sees the end of the log, and wants to go on doing so. */
  following = true;
  /** Since when we may have missed something, because the line was lost. */
  lostAt = null;

  #waiting = [];
  #day = DAY.format(new Date());
  #last = null;
  #divider = note('New messages', 'divider');
  #isDivided = false;
  #anchor = null;
  #height = 0;
  #changed;

  /** `changed` is called when counts or the place may have changed. */
  constructor(name, changed) {
    this.name = name;
    this.#changed = changed;
    this.log = element('div', { className: 'log', hidden: true, tabIndex: 0 });
    this.log.setAttribute('role', 'log');
    this.log.setAttribute('aria-label', `Messages in ${name}`);
    // While the size is new the browser may have moved the log, and not the user; #keepPlace follows.
    this.log.addEventListener('scroll', () => this.log.clientHeight === this.#height && this.#look(), { passive: true });
    new ResizeObserver(() => this.#keepPlace()).observe(this.log);
    this.badge = element('span', { className: 'badge', hidden: true });
    this.badge.append('', element('span', { className: 'unseen', textContent: ' unread' }));
    this.tab = element('button', { type: 'button', title: name });
    this.tab.append(element('bdi', { textContent: name }), this.badge);
    this.item = element('li');
    this.item.append(this.tab);
  }

  /** A message that has just come. It is drawn by the next `draw`. */
  add(author, text, isOwn) {
    const isRead = isOwn || (!this.log.hidden && this.following && !document.hidden);
    if (!isRead) this.unread++;
    this.#wait({ author, text, isOwn, isUnread: !isRead, at: new Date() });
  }

  /** A line of the page's own. */
  addNote(text) {
    this.#wait({ note: text, at: new Date() });
  }

  #wait(entry) {
    this.#waiting.push(entry);
    if (this.#waiting.length <= KEPT) return;
    const [{ at }] = this.#waiting;
    this.#waiting.splice(0, 2, { note: 'More messages came here than are kept.', at, isUnread: true });
  }

  show() {
    this.log.hidden = false;
    this.draw();
    this.#keepPlace();
    this.tab.ariaCurrent = 'true';
    this.showTab();
  }

  hide() {
    this.log.hidden = true;
    this.#divider.remove();
    this.tab.ariaCurrent = null;
  }

  showTab() {
    this.tab.scrollIntoView({ block: 'nearest', inline: 'nearest' });
  }

  toEnd() {
    this.following = true;
    this.log.scrollTop = this.log.scrollHeight;
    this.#look();
  }

  /** Tells the list of rooms what it is to show. */
  count() {
    this.badge.hidden = this.unread === 0;
    this.badge.firstChild.data = this.unread > 99 ? '99+' : this.unread;
  }

  /** Draws what has come. Hidden rooms are not drawn: they cost nothing but the entries that wait. */
  draw() {
    if (this.#waiting.length === 0) return;
    const rows = document.createDocumentFragment();
    for (const entry of this.#waiting.splice(0)) {
      const day = DAY.format(entry.at);
      if (day !== this.#day) rows.append(note((this.#day = day), 'note'));
      if (entry.isUnread && !this.#isDivided) {
        this.#isDivided = true;
        rows.append(this.#divider);
      }
      // Names and times of messages that follow each other closely are shown once.
      const above = (rows.lastElementChild ?? this.log.lastElementChild) === this.#last?.row ? this.#last : null;
      const goesOn = above !== null && above.author === entry.author && entry.at - above.at < 60_000;
      const row = entry.note ? note(entry.note, 'note') : this.#message(entry, goesOn);
      if (!entry.note) this.#last = { row, author: entry.author, at: goesOn ? above.at : entry.at };
      rows.append(row);
    }
    this.log.append(rows);
    const most = this.following && !this.#isDivided ? KEPT : 2 * KEPT;
    while (this.log.childElementCount > most) this.log.firstElementChild.remove();
    this.log.firstElementChild.classList.remove('goes-on');
    this.#keepPlace();
  }

  #message({ author, text, isOwn, at }, goesOn) {
    const row = element('div', { className: 'message', title: FULL.format(at) });
    row.classList.toggle('own', isOwn);
    row.classList.toggle('goes-on', goesOn);
    const name = element('bdi', { className: 'author', textContent: author, title: author });
    name.style.setProperty('--hue', hue(author));
    const time = element('time', { dateTime: at.toISOString(), textContent: CLOCK.format(at) });
    const body = element('div', { className: 'body', dir: 'auto' });
    body.append(...withLinks(text));
    row.append(name, time, body);
    if (text.length > LONG.characters || text.split('\n', LONG.lines + 1).length > LONG.lines) {
      row.append(this.#unfolder(body));
    }
    return row;
  }

  #unfolder(body) {
    body.classList.add('folded');
    const button = element('button', { type: 'button', className: 'quiet', textContent: 'Show all' });
    button.addEventListener('click', () => {
      body.classList.remove('folded');
      button.remove();
      this.log.focus({ preventScroll: true });
      this.#look();
    });
    return button;
  }

  /** After the log or its size has changed: one sees what one saw before, or the end, or the first that is new. */
  #keepPlace() {
    const { log } = this;
    if (log.hidden) return;
    if (!this.following) {
      if (this.#anchor) log.scrollTop = this.#anchor.row.isConnected ? this.#anchor.row.offsetTop + this.#anchor.offset : 0;
    } else if (this.unread > 0) {
      log.scrollTop = this.#divider.isConnected ? this.#divider.offsetTop - NEAR : 0;
    } else {
      log.scrollTop = log.scrollHeight;
    }
    this.#height = log.clientHeight;
    this.#look();
  }

  /** Finds out where one is: at the end, and follows it from then on, or further up. */
  #look() {
    const { log } = this;
    if (log.clientHeight === 0) return;
    this.following = log.scrollHeight - log.scrollTop - log.clientHeight < NEAR;
    if (this.following && !document.hidden) {
      this.unread = 0;
      this.#isDivided = false;
    }
    this.#anchor = this.following ? null : this.#firstSeen();
    this.#changed();
  }

  #firstSeen() {
    const { scrollTop, children } = this.log;
    const row = [...children].find((row) => row.offsetTop + row.offsetHeight > scrollTop);
    return row && { row, offset: scrollTop - row.offsetTop };
  }
}

function element(tag, properties) {
  return Object.assign(document.createElement(tag), properties);
}

function note(text, className) {
  return element('p', { textContent: text, className });
}
