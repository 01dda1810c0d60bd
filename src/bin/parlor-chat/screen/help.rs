//! What `/help` shows.

/// Two columns; the second begins at column 19.
pub const LINES: &[&str] = &[
    "/join ROOM         joins a room, or goes to it",
    "/leave [ROOM]      leaves it",
    "/nick NAME         takes another nickname",
    "/msg ROOM TEXT     says something in a room; one with spaces stands in \"quotes\"",
    "/help              shows this",
    "/quit              ends, as Ctrl-C and Ctrl-D do",
    "//TEXT             says /TEXT",
    "",
    "7 is the room with that number, \"7\" the one with that name.",
    "",
    "Ctrl-N, Ctrl-P     next room, room before",
    "Alt-1 to Alt-9     the room of that number; Alt-0 the server",
    "Page keys, wheel   scroll; Esc goes back to the end",
    "Tab, Shift-Tab     completes commands, rooms and names seen",
    "Up, Down           lines typed before",
    "Ctrl-A, Ctrl-E     begin and end of the line; also Home, End",
    "Alt-B, Alt-F       a word back, a word on",
    "Ctrl-W, Alt-D      deletes the word before, the word behind",
    "Ctrl-U, Ctrl-K     deletes to the begin, to the end; Ctrl-Y puts back",
    "Ctrl-L             draws the screen anew",
    "Ctrl-Z             back to the shell; fg returns",
    "",
    "A room shows how many messages are unread, and ! if one of them says your name. Most terminals select \
     text with Shift and the mouse.",
];

/// The line without the blanks between its columns, for a screen that has no room for two.
pub fn narrow(line: &str) -> String {
    match line.split_once("  ") {
        Some((left, right)) => format!("{left}: {}", right.trim_start()),
        None => line.into(),
    }
}
