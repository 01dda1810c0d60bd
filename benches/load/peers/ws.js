// A chat as people write one with node and the npm package `ws`, for the load bench to compare with. It speaks parlor's
// protocol (requests are trusted, errors are not answered), one JSON object a message, at ws://HOST:PORT/ws.
const { WebSocketServer } = require("ws");

const [host, port] = process.argv.slice(2);
const rooms = new Map();

const server = new WebSocketServer({ host, port: Number(port), path: "/ws", backlog: 4096, perMessageDeflate: false });

server.on("connection", (socket) => {
  let author = "guest";
  const joined = new Set();
  const leave = (id) => {
    joined.delete(id);
    rooms.get(id)?.delete(socket);
    if (rooms.get(id)?.size === 0) rooms.delete(id);
  };
  socket.on("error", () => {});
  socket.on("close", () => joined.forEach(leave));
  socket.on("message", (data) => {
    const line = data.toString();
    const { action, nickname, room_id, text } = JSON.parse(line);
    if (action === "LOGIN NICK") author = nickname;
    if (action === "JOIN ROOM") joined.add(room_id) && rooms.set(room_id, (rooms.get(room_id) ?? new Set()).add(socket));
    if (action === "LEFT ROOM") leave(room_id);
    socket.send(`{"action":"RESPONSE","request":${line},"message":"OK"}`);
    if (action !== "SEND MESSAGE") return;
    const message = Buffer.from(JSON.stringify({ action: "GET MESSAGE", room_id, author, text }));
    for (const member of rooms.get(room_id) ?? []) member.send(message, { binary: false });
  });
});
