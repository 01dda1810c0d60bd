//! What is JSON, judged independently of the server: RFC 8259 to the letter, UTF-8, no byte order mark, no lone
//! surrogate, nested as deep as the line is long. The brackets still open are kept in a list, not on the stack.

/// The one value that the line consists of, without the white space around it; `None` if it is no valid JSON.
pub fn value(line: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(line).ok()?;
    let begin = space(text, 0);
    let end = value_end(text, begin)?;
    (space(text, end) == text.len()).then_some(&text[begin..end])
}

/// Names (unescaped) and values (as written) of a valid JSON value's members, in order; `None` if it is no object.
pub fn members(object: &str) -> Option<Vec<(String, &str)>> {
    let mut members = Vec::new();
    let mut at = space(object, object.starts_with('{').then_some(1)?);
    while !object[at..].starts_with('}') {
        let name_ends = string_end(object, at)?;
        let begin = space(object, space(object, name_ends) + ":".len());
        let end = value_end(object, begin)?;
        members.push((string(&object[at..name_ends])?, &object[begin..end]));
        at = space(object, end);
        if object[at..].starts_with(',') {
            at = space(object, at + 1);
        }
    }
    Some(members)
}

/// The text of a JSON string; `None` if the value is none.
pub fn string(value: &str) -> Option<String> {
    serde_json::from_str(value).ok()
}

/// The integer, if the value is one in the signed or unsigned 64-bit range, without fraction or exponent.
pub fn integer(value: &str) -> Option<i128> {
    let integer: i128 = value.parse().ok()?;
    (i128::from(i64::MIN)..=i128::from(u64::MAX)).contains(&integer).then_some(integer)
}

fn value_end(text: &str, mut at: usize) -> Option<usize> {
    let mut open = Vec::new();
    loop {
        // Here a value begins.
        at = space(text, at);
        at = match text.as_bytes().get(at)? {
            b'{' => match space(text, at + 1) {
                next if text[next..].starts_with('}') => next + 1,
                next => {
                    open.push('}');
                    at = name_end(text, next)?;
                    continue;
                }
            },
            b'[' => match space(text, at + 1) {
                next if text[next..].starts_with(']') => next + 1,
                next => {
                    open.push(']');
                    at = next;
                    continue;
                }
            },
            b'"' => string_end(text, at)?,
            b'n' => text[at..].starts_with("null").then_some(at + 4)?,
            b't' => text[at..].starts_with("true").then_some(at + 4)?,
            b'f' => text[at..].starts_with("false").then_some(at + 5)?,
            _ => number_end(text, at)?,
        };
        // Here one has ended; what may follow depends on the bracket it stands in.
        loop {
            let Some(&bracket) = open.last() else { return Some(at) };
            at = space(text, at);
            let next = text[at..].chars().next()?;
            at += next.len_utf8();
            if next == bracket {
                open.pop();
            } else if next == ',' && bracket == '}' {
                at = name_end(text, space(text, at))?;
                break;
            } else if next == ',' {
                break;
            } else {
                return None;
            }
        }
    }
}

/// A member's name with the colon behind it.
fn name_end(text: &str, at: usize) -> Option<usize> {
    let colon = space(text, string_end(text, at)?);
    text[colon..].starts_with(':').then_some(colon + 1)
}

fn string_end(text: &str, begin: usize) -> Option<usize> {
    let mut chars = text[begin..].char_indices();
    chars.next().filter(|(_, first)| *first == '"')?;
    while let Some((at, char)) = chars.next() {
        match char {
            '\\' => drop(chars.next()),
            '"' => {
                let end = begin + at + 1;
                return string(&text[begin..end]).map(|_| end);
            }
            _ => {}
        }
    }
    None
}

fn number_end(text: &str, begin: usize) -> Option<usize> {
    let digits = |at: usize| text[at..].bytes().take_while(u8::is_ascii_digit).count();
    let mut at = begin + usize::from(text[begin..].starts_with('-'));
    at += match digits(at) {
        0 => return None,
        n if n > 1 && text[at..].starts_with('0') => return None,
        n => n,
    };
    if text[at..].starts_with('.') {
        at += 1 + Some(digits(at + 1)).filter(|n| *n > 0)?;
    }
    if text[at..].starts_with(['e', 'E']) {
        at += 1 + usize::from(text[at + 1..].starts_with(['+', '-']));
        at += Some(digits(at)).filter(|n| *n > 0)?;
    }
    Some(at)
}

/// Where the white space that begins here (if it does) is over.
fn space(text: &str, at: usize) -> usize {
    text.len() - text[at..].trim_start_matches([' ', '\t', '\n', '\r']).len()
}
