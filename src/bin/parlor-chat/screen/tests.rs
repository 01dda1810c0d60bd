//! Everything at once: whatever is heard, pressed and resized, in whatever order, nothing panics.

use parlor::client::Event;
use proptest::prelude::*;
use ratatui::Terminal;
use ratatui::backend::TestBackend;

use super::*;
use crate::options::{Server, Task};
use keys::Key;

fn options(rooms: &[&str]) -> Options {
    Options {
        server: Server::Tcp("127.0.0.1:7878".into()),
        ca: None,
        nickname: Some("tester".into()),
        task: Task::Talk,
        json: false,
        rooms: rooms.iter().map(|room| (*room).into()).collect(),
    }
}

/// One thing that happens.
#[derive(Clone, Debug)]
enum Step {
    Hear(String),
    Press(Key),
    Type(String),
    Resize(u16, u16),
    Connect,
    Lose,
    Retry,
}

fn step() -> impl Strategy<Value = Step> {
    let text = prop_oneof![".{0,40}", "[a-c \n漢\u{301}\u{200d}❤]{0,300}"];
    let room = prop_oneof![Just("\"ops\"".to_string()), Just("\"dev\"".to_string()), Just("7".to_string())];
    let message = (room, text.clone(), text.clone()).prop_map(|(room, author, text)| {
        let (author, text) = (serde_json::Value::from(author), serde_json::Value::from(text));
        format!(r#"{{"action":"GET MESSAGE","room_id":{room},"author":{author},"text":{text}}}"#)
    });
    let words = prop_oneof![
        Just("Room not found"),
        Just("Nickname already in use"),
        Just("Line too long"),
        Just("Too slow")
    ];
    let error = (words, any::<bool>()).prop_map(|(why, of_nothing)| {
        let request = if of_nothing { "null" } else { "{}" };
        format!(r#"{{"action":"ERROR","request":{request},"message":"{why}"}}"#)
    });
    let ok = Just(r#"{"action":"RESPONSE","request":{},"message":"OK"}"#.to_string());
    let key = prop::sample::select(vec![
        Key::Ctrl('n'),
        Key::Ctrl('p'),
        Key::Ctrl('l'),
        Key::Ctrl('w'),
        Key::Alt('0'),
        Key::Alt('2'),
        Key::Enter,
        Key::Tab,
        Key::BackTab,
        Key::Backspace,
        Key::Left,
        Key::Up,
        Key::Down,
        Key::PageUp,
        Key::PageDown,
        Key::Help,
        Key::Escape,
        Key::WheelUp,
        Key::WheelDown,
        Key::Char('y'),
        Key::Char('n'),
    ]);
    let line = prop::sample::select(vec![
        "/join dev",
        "/join 7",
        "/leave",
        "/leave dev",
        "/nick x",
        "/msg ops hi",
        "/help",
        "hello",
        "/o",
        "漢字",
    ]);
    prop_oneof![
        3 => message.prop_map(Step::Hear),
        1 => error.prop_map(Step::Hear),
        3 => ok.prop_map(Step::Hear),
        5 => key.prop_map(Step::Press),
        1 => text.prop_map(|text| Step::Press(Key::Paste(text))),
        3 => line.prop_map(|line| Step::Type(line.into())),
        2 => (0u16..100, 0u16..40).prop_map(|(width, height)| Step::Resize(width, height)),
        1 => Just(Step::Connect),
        1 => Just(Step::Lose),
        1 => Just(Step::Retry),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn nothing_panics(steps in proptest::collection::vec(step(), 1..80)) {
        let mut app = App::new(&options(&["ops", "dev"]));
        let mut canvas = Terminal::new(TestBackend::new(80, 24)).unwrap();
        app.connected();
        for step in steps {
            match step {
                Step::Hear(line) => {
                    let line = format!("{line}\n");
                    let mut bytes = line.as_bytes();
                    while let Some(heard) = app.client.hear(&mut bytes) {
                        app.hear(heard);
                    }
                }
                Step::Press(key) => app.press(key),
                Step::Type(line) => {
                    app.input.insert(&line);
                    app.press(Key::Enter);
                }
                Step::Resize(width, height) => canvas.backend_mut().resize(width, height),
                Step::Connect if app.connection != Connection::Connected => app.connected(),
                Step::Connect => app.ask_for_nickname_again(),
                Step::Lose => app.ended("gone", Duration::ZERO),
                Step::Retry => {
                    let sent = app.client.output().len();
                    app.client.sent(sent);
                }
            }
            canvas.draw(|frame| view::draw(frame, &mut app, Look { has_colours: true })).unwrap();
            let cells = canvas.backend().buffer().content();
            prop_assert!(cells.iter().all(|cell| !cell.symbol().chars().any(char::is_control)));
        }
    }
}

#[test]
fn pauses_grow_and_are_left_to_chance() {
    for failures in 0..40 {
        let longest = FIRST_PAUSE.saturating_mul(1 << failures.min(6)).min(LONGEST_PAUSE);
        let pauses: Vec<Duration> = (0..50).map(|_| pause(failures)).collect();
        assert!(pauses.iter().all(|pause| *pause <= longest && *pause >= longest / 2), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause != pauses[0]));
    }
}

/// As a node of a cluster does that has lost its engine: it answers, and says last words.
#[test]
fn a_server_that_turns_one_away_marks_one_gap() {
    let mut app = App::new(&options(&["ops"]));
    let said =
        |app: &mut App, line: &[u8]| app.client.hear(&mut &*line).map(|heard| app.hear(heard)).unwrap();
    for _ in 0..3 {
        app.connected();
        said(&mut app, b"{\"action\":\"ERROR\",\"request\":null,\"message\":\"Cluster link lost\"}\n");
        app.ended("gone", Duration::from_secs(9));
        assert!(app.is_turned_away);
    }
    let mut canvas = Terminal::new(TestBackend::new(80, 24)).unwrap();
    let mut screen = |app: &mut App| {
        canvas.draw(|frame| view::draw(frame, app, Look { has_colours: false })).unwrap();
        canvas.backend().to_string()
    };
    assert_eq!(screen(&mut app).matches("connection lost: Cluster link lost").count(), 1);
    app.connected();
    said(&mut app, b"{\"action\":\"RESPONSE\",\"message\":\"OK\"}\n");
    assert!(!app.is_turned_away);
    app.ended("gone", Duration::from_secs(9));
    assert_eq!(screen(&mut app).matches("connection lost: ").count(), 2);
}

#[test]
fn a_message_that_was_not_confirmed_is_told_when_the_connection_is_lost() {
    let mut app = App::new(&options(&["ops"]));
    app.connected();
    for _ in 0..2 {
        let heard = app.client.hear(&mut &b"{\"action\":\"RESPONSE\",\"message\":\"OK\"}\n"[..]).unwrap();
        assert!(matches!(heard.event, Event::Done { .. }));
        app.hear(heard);
    }
    app.input.insert("did it arrive?");
    app.press(Key::Enter);
    app.ended("gone", Duration::from_secs(9));
    let mut canvas = Terminal::new(TestBackend::new(80, 24)).unwrap();
    canvas.draw(|frame| view::draw(frame, &mut app, Look { has_colours: false })).unwrap();
    let screen = canvas.backend().to_string();
    for text in
        ["whether this was sent is not known: did it arrive?", "connection lost: gone", "next try in 9 s"]
    {
        assert!(screen.contains(text), "{screen}");
    }
}
