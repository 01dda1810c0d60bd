// The line to the server: one WebSocket at a time, opened again whenever it is lost. Knows how requests and replies
// belong together; knows nothing of rooms, names or the page.

const FIRST_PAUSE = 500;
const LONGEST_PAUSE = 30_000;
// The browser does not tell when the other end has vanished, so the page counts ticks in which nothing came. Ticks and
// not time: a device that slept has not waited.
const TICK = 5_000;
const TICKS_FOR_A_REPLY = 3;
const TICKS_OF_SILENCE = 9;

/** The server refused a request; `message` is in its words. */
export class Refused extends Error {}
/** The line broke before the reply came: nobody knows whether the request was carried out. */
export class Lost extends Error {}

export class Connection {
  #address;
  #events;
  /** When something came from the server last. */
  heardAt = null;
  #socket = null;
  #asked = [];
  #lastWords = '';
  #attempts = 0;
  #ticks = 0;
  #silence = 0;
  #pause = 0;

  /** Events: `opened()`, `message(object)`, `lost(words, code, wasOpen)`, and `probe()`, which has to request something. */
  constructor(address, events) {
    this.#address = address;
    this.#events = events;
    setInterval(() => this.#tick(), TICK);
    addEventListener('online', () => this.hurry());
    document.addEventListener('visibilitychange', () => document.hidden || this.hurry());
    // A browser may keep a page that was left, for "back". Its line would keep the name from others for as long.
    addEventListener('pagehide', () => this.#hangUp());
    addEventListener('pageshow', (event) => event.persisted && this.hurry());
  }

  get isOpen() {
    return this.#socket?.readyState === WebSocket.OPEN;
  }

  /** Opens the line, unless it is open; from then on it is opened again whenever it is lost. */
  open() {
    if (this.#socket && this.#socket.readyState !== WebSocket.CONNECTING) return;
    this.#forget();
    clearTimeout(this.#pause);
    this.#ticks = this.#silence = 0;
    this.#lastWords = '';
    let wasOpen = false;
    const socket = new WebSocket(this.#address);
    this.#socket = socket;
    socket.onopen = () => {
      wasOpen = true;
      this.#events.opened();
    };
    socket.onmessage = (event) => this.#receive(JSON.parse(event.data));
    socket.onclose = (event) => this.#ended(event.code, wasOpen);
  }

  /** The network may have come back, or the user wants it so: no pause any longer, and no trust in an old line. */
  hurry() {
    if (this.isOpen) {
      if (this.#asked.length === 0) this.#events.probe();
    } else if (this.#socket || this.#pause) {
      this.open();
    }
  }

  /** Resolves when the request was carried out. Replies come in the order of the requests, so nothing is numbered. */
  request(object) {
    if (!this.isOpen) return Promise.reject(new Lost());
    if (this.#asked.length === 0) this.#silence = 0;
    this.#socket.send(JSON.stringify(object));
    return new Promise((resolve, reject) => this.#asked.push({ resolve, reject }));
  }

  #receive(object) {
    this.#silence = 0;
    this.heardAt = new Date();
    if (object.action === 'RESPONSE') {
      this.#asked.shift()?.resolve();
    } else if (object.action !== 'ERROR') {
      this.#events.message(object);
    } else if (object.request !== null || /^(Line too long|Invalid JSON)/.test(object.message)) {
      this.#asked.shift()?.reject(new Refused(object.message));
    } else {
      this.#lastWords = object.message;
    }
  }

  #tick() {
    if (!this.#socket) return;
    // Not before it has stood for a while: a line that is cut at once each time is not to be tried without pause.
    if (++this.#ticks === 2 && this.isOpen) this.#attempts = 0;
    this.#silence++;
    const isDue = !this.isOpen || this.#asked.length > 0;
    if (isDue && this.#silence > TICKS_FOR_A_REPLY) {
      this.#hangUp();
    } else if (this.#silence > TICKS_OF_SILENCE) {
      this.#events.probe();
    }
  }

  #hangUp() {
    if (!this.#socket) return;
    const wasOpen = this.isOpen;
    this.#forget();
    this.#ended(1006, wasOpen);
  }

  #forget() {
    const socket = this.#socket;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    socket.close();
    this.#socket = null;
  }

  #ended(code, wasOpen) {
    this.#socket = null;
    const longest = Math.min(LONGEST_PAUSE, FIRST_PAUSE * 2 ** this.#attempts++);
    this.#pause = setTimeout(() => this.open(), longest * (0.5 + Math.random() / 2));
    this.#events.lost(this.#lastWords, code, wasOpen);
    // The last one first, so that texts that are handed back end up in the order in which they were written.
    for (const { reject } of this.#asked.splice(0).reverse()) reject(new Lost());
  }
}
