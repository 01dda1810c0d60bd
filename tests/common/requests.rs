//! Lines such as clients might write: mostly requests, each spelled in another way, often nearly right, at times rubbish.

use super::random::Random;

/// What the lines speak of. Few names and rooms, so that clients meet.
pub struct Speech {
    pub nicknames: Vec<String>,
    /// Room ids as JSON values; strings are spelled anew each time.
    pub rooms: Vec<String>,
    pub max_line: usize,
}

impl Speech {
    pub fn new(max_line: usize) -> Speech {
        let nicknames = [
            "Alice",
            "Bob",
            "bob",
            "Bob\u{200b}",
            "Zoë",
            "Zoe\u{308}",
            "李 雷",
            "🦀",
            "❤\u{fe0f}\u{200d}🔥",
            "❤\u{200d}",
            "a\u{2028}b",
            "\"\\/",
        ];
        let rooms = [
            "7",
            r#""7""#,
            "0",
            "-1",
            r#""""#,
            r#""café""#,
            r#""a b""#,
            "18446744073709551615",
            r#""\u2029""#,
            r#""\u009b31m""#,
        ];
        Speech {
            nicknames: nicknames.map(String::from).into(),
            rooms: rooms.map(String::from).into(),
            max_line,
        }
    }

    /// A line without its `\n`.
    pub fn line(&self, random: &mut Random) -> Vec<u8> {
        let mut line = match random.below(40) {
            0 => self.too_long(random),
            1 => random.one_of(&[&b""[..], b" ", b"\t \t", b" \r"]).to_vec(),
            2 => any_value(random, 6).into_bytes(),
            3 => (0..random.below(40)).map(|_| random.number() as u8).collect(),
            4 | 5 => damaged(self.request(random).into_bytes(), random),
            6..10 => self.wrong_request(random).into_bytes(),
            _ => self.request(random).into_bytes(),
        };
        line.iter_mut().filter(|byte| **byte == b'\n').for_each(|byte| *byte = b'?');
        if random.once_in(5) {
            line.push(b'\r');
        }
        line
    }

    /// A request that is right in itself, whether or not it can be carried out.
    pub fn request(&self, random: &mut Random) -> String {
        let members = self.members(random);
        spell_object(members, random)
    }

    fn members(&self, random: &mut Random) -> Vec<(String, String)> {
        let room = &self.rooms[random.below(self.rooms.len())];
        let room = match serde_json::from_str::<String>(room) {
            Ok(text) => spell(&text, random),
            Err(_) if room == "0" && random.once_in(2) => "-0".into(),
            Err(_) => room.clone(),
        };
        let room = ("room_id".into(), room);
        let (action, mut members) = match random.below(10) {
            0 | 1 => {
                let nickname = &self.nicknames[random.below(self.nicknames.len())];
                ("LOGIN NICK", vec![("nickname".into(), spell(nickname, random))])
            }
            2..5 => ("JOIN ROOM", vec![room]),
            5 => ("LEFT ROOM", vec![room]),
            _ => {
                let text = any_text(random);
                ("SEND MESSAGE", vec![room, ("text".into(), spell(&text, random))])
            }
        };
        members.push(("action".into(), spell(action, random)));
        for number in 0..random.below(4).saturating_sub(1) {
            members.push((format!("id{number}"), any_value(random, 3)));
        }
        members
    }

    /// A request with a member that is missing, there twice, or not what it has to be.
    fn wrong_request(&self, random: &mut Random) -> String {
        let mut members = self.members(random);
        let which = random.below(members.len());
        match random.below(4) {
            0 => drop(members.remove(which)),
            1 => members.push(members[which].clone()),
            2 => members[which].1 = any_value(random, 2),
            _ => members[which].1 = wrong_value(random),
        }
        if random.once_in(3) {
            let which = random.below(members.len());
            members[which].1 = wrong_value(random);
        }
        spell_object(members, random)
    }

    /// Over the limit, by a byte or by much, in a way that would be right or wrong otherwise.
    fn too_long(&self, random: &mut Random) -> Vec<u8> {
        let mut line = self.request(random).into_bytes();
        let over = if random.once_in(2) { 1 } else { random.below(3 * self.max_line) + 1 };
        let filler = *random.one_of(&[&b' ', &b'x', &b'[']);
        line.resize((self.max_line + over).max(line.len()), filler);
        line
    }
}

fn wrong_value(random: &mut Random) -> String {
    let wrong = [
        "null",
        "true",
        "[]",
        "{}",
        "[7]",
        "1.0",
        "1e0",
        "-0.0",
        "1E+999",
        "18446744073709551616",
        "7.",
        "-9223372036854775809",
        r#""""#,
        r#"" x""#,
        r#""x\u2003""#,
        r#""a\u0000b""#,
        r#""\ud800""#,
        "01",
        "-",
        "'x'",
        r#""JOIN""#,
        r#""join room""#,
        r#""\x41""#,
        r#""0123456789012345678901234567890123456789012345678901234567890123""#,
        r#""0123456789012345678901234567890123456789012345678901234567890123+""#,
    ];
    random.one_of(&wrong).into()
}

/// Any JSON value, spelled in any way.
fn any_value(random: &mut Random, depth: usize) -> String {
    let count = random.below(4);
    match random.below(if depth == 0 { 5 } else { 7 }) {
        0 => random.one_of(&["null", "true", "false"]).into(),
        1 => {
            random.one_of(&["0", "-0", "1.0", "1.50e-10", "12345678901234567890123", "1e400", "-0.0"]).into()
        }
        2..5 => {
            let text = any_text(random);
            spell(&text, random)
        }
        5 => {
            let values: Vec<String> = (0..count).map(|_| any_value(random, depth - 1)).collect();
            format!("[{}]", values.join(","))
        }
        _ => {
            let names = ["a", "", "action", "text", "é"];
            let members = (0..count).map(|_| (random.one_of(&names).into(), any_value(random, depth - 1)));
            let members = members.collect();
            spell_object(members, random)
        }
    }
}

fn any_text(random: &mut Random) -> String {
    let pieces = [
        "hello",
        " ",
        "é",
        "\u{80}",
        "\u{85}",
        "\u{9b}31m",
        "\u{2028}",
        "\u{2029}",
        "🦀",
        "\"",
        "\\",
        "/",
        "\n",
        "\r\n",
        "\t",
        "\0",
        "\u{1b}[31m",
        "\u{7f}",
        "\u{feff}",
        "\u{fffd}",
        "\u{ffff}",
        "\u{10ffff}",
        "u2028",
        "{\"action\":",
        "What I've done?",
    ];
    (0..random.below(6)).map(|_| random.one_of(&pieces)).collect()
}

/// The members in any order, with any white space between.
fn spell_object(mut members: Vec<(String, String)>, random: &mut Random) -> String {
    for last in (1..members.len()).rev() {
        members.swap(last, random.below(last + 1));
    }
    let space = {
        let spacious = random.once_in(3);
        move |random: &mut Random| {
            if spacious { *random.one_of(&[&"", &" ", &"\t", &"  ", &"\r"]) } else { "" }
        }
    };
    let mut object = String::from("{");
    for (index, (name, value)) in members.iter().enumerate() {
        object += if index > 0 { "," } else { "" };
        let name = spell(name, random);
        for part in [&name, ":", value] {
            object += space(random);
            object += part;
        }
        object += space(random);
    }
    object + "}"
}

/// A JSON string of this text, each character raw (where it may be) or escaped.
fn spell(text: &str, random: &mut Random) -> String {
    let escape_once_in = *random.one_of(&[&1, &4, &1000, &1000]);
    let mut spelled = String::from("\"");
    for char in text.chars() {
        let must = char < ' ' || matches!(char, '"' | '\\');
        let short = "\"\\/\u{8}\u{c}\n\r\t".find(char).map(|at| &r#""\/bfnrt"#[at..=at]);
        match short {
            _ if !must && !random.once_in(escape_once_in) => spelled.push(char),
            Some(letter) if random.once_in(2) => spelled = spelled + "\\" + letter,
            _ => {
                for unit in char.encode_utf16(&mut [0; 2]) {
                    let hex =
                        if random.once_in(2) { format!("\\u{unit:04x}") } else { format!("\\u{unit:04X}") };
                    spelled += &hex;
                }
            }
        }
    }
    spelled + "\""
}

/// A byte changed, lost or too many; or an end that is missing.
fn damaged(mut line: Vec<u8>, random: &mut Random) -> Vec<u8> {
    let at = random.below(line.len());
    let byte = if random.once_in(2) {
        random.number() as u8
    } else {
        *random.one_of(&[&b'"', &b'\\', &b'}', &b','])
    };
    match random.below(4) {
        0 => line[at] = byte,
        1 => drop(line.remove(at)),
        2 => line.insert(at, byte),
        _ => line.truncate(at),
    }
    line
}
