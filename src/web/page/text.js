// Names, texts and the server's words, made ready to be shown. Nothing here makes HTML out of what others have written.

// A link ends at white space, at a character that would let it pass for another one (controls, direction marks), and at
// what usually stands around links: quotation marks, and the brackets and stops of Chinese and Japanese.
const LINK = /\bhttps?:\/\/[^\s<>"“”„‟«»‹›「」『』【】（）、。，；：！？\p{Cc}\p{Cf}]+/giu;

/** The nodes for a text: plain text, and what looks like a web address as a link. */
export function withLinks(text) {
  const nodes = [];
  let shown = 0;
  for (const { 0: match, index } of text.matchAll(LINK)) {
    const address = withoutPunctuation(match);
    // An address with a user's name in it (https://bank.example@elsewhere.example) mostly wants to deceive.
    const url = URL.parse(address);
    if (!url || url.username || url.password) continue;
    const link = document.createElement('a');
    Object.assign(link, { href: url, textContent: address, rel: 'noopener noreferrer' });
    // A link to a room of this page's opens it here. In another tab one would be in one's own way.
    const [here, there] = [location, url].map(({ href }) => href.split('#')[0]);
    if (here !== there || !url.hash) link.target = '_blank';
    nodes.push(text.slice(shown, index), link);
    shown = index + address.length;
  }
  nodes.push(text.slice(shown));
  return nodes;
}

/** `(see https://a.example/b_(c).)` has the link `https://a.example/b_(c)`. */
function withoutPunctuation(address) {
  let open = address.split('(').length - address.split(')').length;
  let end = address.length;
  while (end > 0 && `.,;:!?'’…*_)]}`.includes(address[end - 1])) {
    if (address[end - 1] === ')' && open++ >= 0) break;
    end--;
  }
  return address.slice(0, end);
}

/** A colour for a name, as a hue in degrees: always the same one. Lightness is the style sheet's, so contrast is too. */
export function hue(name) {
  let hash = 0x811c9dc5;
  for (const character of name) hash = Math.imul(hash ^ character.codePointAt(0), 0x01000193);
  return ((hash ^ (hash >>> 15)) >>> 0) % 360;
}

/** A name between other words, where there are no elements to keep its writing direction to itself. */
export function isolated(name) {
  return `\u2068${name.replace(/[\u202a-\u202e\u2066-\u2069]/g, '')}\u2069`;
}

const WORDS = {
  // Errors
  'Line too long': 'This is too long for the server. Make it shorter, or send it in parts.',
  'Invalid nickname': 'This name cannot be used. A name has at most 64 characters, fewer if some are not plain letters, and none that are invisible.',
  'Nickname already in use': 'Somebody else has this name. Choose another one.',
  'Too many rooms': 'You are in as many rooms as the server allows. Leave one first.',
  // Last words
  'Too many clients': 'The server is full.',
  'Too slow': 'More messages came than your connection could carry, so the server closed it.',
  'Out of memory': 'The server is short of memory and closed the connection.',
  'Idle too long': 'The server closed the connection because nothing had come from you for long.',
  'Server shutting down': 'The server is shutting down.',
  'Cluster link lost': 'The server has lost touch with the other servers.',
};

/** The server's words in the user's. */
export function explained(message) {
  return WORDS[message.split(':')[0]] ?? `The server says: ${message}.`;
}

/** Why the connection has ended, by its Close code, where there were no last words. */
export function explainedCode(code, wasOpen) {
  if ([1002, 1003, 1007].includes(code)) return 'The server did not understand this page. Reload it.';
  return wasOpen ? 'The connection was lost.' : 'The server cannot be reached.';
}
