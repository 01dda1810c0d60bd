//! The page in a real browser: Chromium, headless, against the binary. Where none is installed these tests say so and
//! are passed over, unless `PARLOR_DEMAND_PROGRAMS` is set.

#[allow(dead_code)]
#[path = "../common/process.rs"]
mod process;
#[cfg(feature = "cluster")]
#[allow(dead_code)]
#[path = "../common/redis.rs"]
mod redis;
mod webdriver;

use std::sync::{Mutex, MutexGuard};

use process::{Client, Parlor};
use serde_json::{Value, json};
use webdriver::{Browser, Driver};

/// The log that one sees.
const LOG: &str = "document.querySelector('.log:not([hidden])')";
const ENTER: &str = "\u{e007}";
const TAB: &str = "\u{e004}";
const ESCAPE: &str = "\u{e00c}";
/// Shift and Enter, in a text that is typed.
const LINE_END: &str = "\u{e008}\u{e007}\u{e000}";

/// The newest message is seen whole, and nothing says that there is more.
const LAST_IS_SEEN: &str = "(() => {
    const last = [...document.querySelectorAll('.log:not([hidden]) .message')].at(-1).getBoundingClientRect();
    const field = document.getElementById('composer').getBoundingClientRect();
    return last.bottom <= field.top && last.top > 0 && field.bottom <= innerHeight && document.getElementById('more').hidden;
})()";

/// Browsers are large: one test at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner())
}

/// A server with a page and a port for lines.
struct House {
    parlor: Parlor,
    /// What stands in front of `://`, of the page and of WebSocket.
    schemes: [&'static str; 2],
    /// `HOST:PORT` of the page, and of the lines.
    web: String,
    lines: String,
}

impl House {
    fn open() -> House {
        House::open_at("127.0.0.1:0")
    }

    fn open_at(web: &str) -> House {
        House::open_with(web, &[])
    }

    fn open_with(web: &str, arguments: &[&str]) -> House {
        let web = format!("http:{web}");
        let mut parlor = Parlor::start(&[&["--listen", &web, "--listen", "127.0.0.1:0"], arguments].concat());
        let (web, lines) = (parlor.address(), parlor.address());
        let web = web.strip_prefix("http:").expect("the page's address").into();
        House { parlor, schemes: ["http", "ws"], web, lines }
    }

    /// With a certificate that nobody knows.
    #[cfg(feature = "tls")]
    fn open_encrypted() -> House {
        let directory = process::Directory::new();
        let rcgen::CertifiedKey { cert, signing_key } =
            rcgen::generate_simple_self_signed(["127.0.0.1".to_string()]).unwrap();
        let [cert_file, key_file] = ["cert", "key"].map(|name| directory.file(name).display().to_string());
        std::fs::write(&cert_file, cert.pem()).unwrap();
        std::fs::write(&key_file, signing_key.serialize_pem()).unwrap();
        let files = ["--tls-cert", &cert_file, "--tls-key", &key_file];
        let listen = ["--listen", "https:127.0.0.1:0", "--listen", "127.0.0.1:0"];
        let mut parlor = Parlor::start(&[listen, files].concat());
        let (web, lines) = (parlor.address(), parlor.address());
        let web = web.strip_prefix("https:").expect("the page's address").into();
        House { parlor, schemes: ["https", "wss"], web, lines }
    }

    fn url(&self) -> String {
        format!("{}://{}/", self.schemes[0], self.web)
    }

    /// Somebody on TCP.
    fn client(&self, nickname: &str, rooms: &[&str]) -> Client {
        let mut client = Client::connect_when_ready(&self.lines);
        let login = json!({"action": "LOGIN NICK", "nickname": nickname});
        assert_eq!(client.ask(&login.to_string()), "OK");
        for room in rooms {
            let join = json!({"action": "JOIN ROOM", "room_id": room});
            assert_eq!(client.ask(&join.to_string()), "OK");
        }
        client
    }
}

/// Says something in a room.
fn say(client: &mut Client, room: &str, text: &str) {
    client.send(&json!({"action": "SEND MESSAGE", "room_id": room, "text": text}).to_string());
}

/// Waits for a message that reaches a client on TCP.
fn expect(client: &mut Client, room: &str, author: &str, text: &str) {
    let wanted = json!({"action": "GET MESSAGE", "room_id": room, "author": author, "text": text});
    loop {
        let line: Value = serde_json::from_str(&client.line().expect("a message, not the end")).unwrap();
        if line == wanted {
            return;
        }
    }
}

/// Enters by way of the dialog.
fn enter(browser: &Browser, nickname: &str) {
    browser.wait("document.getElementById('welcome').open");
    browser.fill("#nickname", nickname);
    browser.type_into("#nickname", ENTER);
    browser.wait("!document.getElementById('welcome').open");
}

fn write(browser: &Browser, text: &str) {
    browser.type_into("#text", text);
    browser.type_into("#text", ENTER);
}

/// Waits for a message in the log that one sees.
fn sees(browser: &Browser, author: &str, text: &str) {
    let script = "return [...document.querySelectorAll('.log:not([hidden]) .message')].some((row) =>
        row.querySelector('.author').textContent === arguments[0] && row.querySelector('.body').textContent === arguments[1])";
    let call = format!("(function () {{ {script} }})({}, {})", json!(author), json!(text));
    browser.wait(&call);
}

/// Nobody was asked but the server, and nothing was said in the console.
fn is_clean(browser: &Browser, house: &House) {
    assert_eq!(browser.console(), Vec::<String>::new());
    let (page, socket) = (house.url(), format!("{}://{}/ws", house.schemes[1], house.web));
    let requests = browser.requests();
    assert!(requests.contains(&socket), "{requests:?}");
    let elsewhere = requests.iter().filter(|url| !url.starts_with(&page) && **url != socket);
    assert_eq!(elsewhere.collect::<Vec<_>>(), Vec::<&String>::new());
}

#[test]
fn people_in_browsers_and_on_tcp_talk_in_one_room() {
    let _alone = alone();
    let Some(driver) = Driver::start() else { return };
    let house = House::open();
    let mut carol = house.client("Carol", &["café", "news"]);
    let (anna, bob) = (driver.browser(), driver.browser());
    // A link opens a room; the name of the room stands in the dialog already.
    anna.visit(&format!("{}#caf%C3%A9", house.url()));
    anna.wait("document.getElementById('enter-room').value === 'café'");
    enter(&anna, "Anna");
    bob.visit(&format!("{}#caf%C3%A9", house.url()));
    // A name that is in use is told where it was typed.
    bob.type_into("#nickname", "Anna\u{e007}");
    bob.wait("document.getElementById('name-error').textContent.includes('Somebody else has this name')");
    enter(&bob, "Bob");

    write(&anna, "hello from Anna");
    sees(&bob, "Anna", "hello from Anna");
    expect(&mut carol, "café", "Anna", "hello from Anna");
    write(&bob, "hello from Bob");
    sees(&anna, "Bob", "hello from Bob");
    say(&mut carol, "café", "hello from Carol");
    sees(&anna, "Carol", "hello from Carol");
    // One's own messages are set apart, others' are not.
    let own = "[...document.querySelectorAll('.own .author')].map((author) => author.textContent)";
    assert_eq!(anna.value(own), json!(["Anna"]));
    assert_eq!(bob.value(own), json!(["Bob"]));
    // An author has one colour everywhere.
    let colour = "[...document.querySelectorAll('.author')].find((author) => author.textContent === 'Carol').style.getPropertyValue('--hue')";
    sees(&bob, "Carol", "hello from Carol");
    assert_eq!(anna.value(colour), bob.value(colour));

    // A second room, while people talk in the first.
    anna.type_into("#join-room", "news\u{e007}");
    anna.wait("document.getElementById('room-name').textContent === 'news' && location.hash === '#news'");
    for number in 0..3 {
        say(&mut carol, "café", &format!("unread {number}"));
    }
    anna.wait("document.querySelector('#rooms li .badge').innerText.startsWith('3')");
    anna.wait("document.title.startsWith('(3) ')");
    say(&mut carol, "news", "this is read at once");
    sees(&anna, "Carol", "this is read at once");
    anna.click("#rooms li:first-child button");
    sees(&anna, "Carol", "unread 2");
    anna.wait("document.querySelector('.log:not([hidden]) .divider') !== null");
    anna.wait("document.querySelector('#rooms li .badge').hidden && document.title.startsWith('\\u2068')");
    // The link of a room, followed while the page is open.
    anna.run("location.hash = 'another%20room'", json!([]));
    anna.wait("document.getElementById('room-name').textContent === 'another room'");
    anna.wait("document.querySelectorAll('#rooms li').length === 3");

    is_clean(&anna, &house);
    is_clean(&bob, &house);
}

#[test]
fn texts_reach_the_page_as_text() {
    let _alone = alone();
    let Some(driver) = Driver::start() else { return };
    let house = House::open();
    let browser = driver.browser();
    browser.visit(&format!("{}#x", house.url()));
    enter(&browser, "Anna");
    let mut mallory = house.client("<b>Mallory</b> & \"Co\"", &[]);
    let author = "<b>Mallory</b> & \"Co\"";

    let markup = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>&amp;";
    say(&mut mallory, "x", markup);
    sees(&browser, author, markup);
    assert_eq!(browser.value("document.querySelectorAll('.log img, .log script, .log b').length"), 0);
    assert_ne!(browser.value("document.title"), "owned");

    // A text that turns the writing direction around does so within itself only.
    let turned = "abc \u{202e}fed";
    say(&mut mallory, "x", turned);
    sees(&browser, author, turned);
    assert_eq!(
        browser.value(
            "[...document.querySelectorAll('.author, .body')].every((node) => /isolate|plaintext/.test(getComputedStyle(node).unicodeBidi))"
        ),
        true
    );

    // Links: only to the web, and without a way back.
    say(
        &mut mallory,
        "x",
        "javascript:alert(1) (see https://a.example/b_(c).) data:text/html,x https://me@b.example ftp://c",
    );
    browser.wait("document.querySelectorAll('.body a').length > 0");
    let links = "[...document.querySelectorAll('.body a')].map((link) => [link.href, link.rel, link.target])";
    assert_eq!(browser.value(links), json!([["https://a.example/b_(c)", "noopener noreferrer", "_blank"]]));

    // No name before the host, however many slashes stand before it.
    for (number, text) in [
        "https:///bank.example@evil.example/",
        "https:bank.example@evil.example/",
        "https://bank.example:x@evil.example/",
    ]
    .iter()
    .enumerate()
    {
        say(&mut mallory, "x", &format!("{text} {number}"));
        sees(&browser, author, &format!("{text} {number}"));
    }
    assert_eq!(browser.value("document.querySelectorAll('.body a').length"), 1);
    // What stands around links, in other languages, too.
    let text = "\u{201e}http://d.example/1\u{201c} \u{ab}http://d.example/2\u{bb} \u{770b}http://d.example/3\u{3002}\u{597d} \
                \u{ff08}http://d.example/4\u{ff09} http://d.example/5\u{2026}";
    say(&mut mallory, "x", text);
    sees(&browser, author, text);
    let links = "[...document.querySelectorAll('.body a')].slice(1).map((link) => link.href)";
    let wanted: Vec<_> = (1..=5).map(|number| format!("http://d.example/{number}")).collect();
    assert_eq!(browser.value(links), json!(wanted));

    // A link to a room of this server opens it here: in another tab one would be in one's own way.
    say(&mut mallory, "x", &format!("come to {}#garden%20shed", house.url()));
    browser.wait("document.querySelectorAll('.body a').length === 7");
    browser.click(".message:last-child a");
    browser.wait("document.getElementById('room-name').textContent === 'garden shed'");
    assert_eq!(browser.value("document.querySelectorAll('#rooms li').length"), 2);
    browser.click("#rooms li:first-child button");

    // A long text is all there, but does not take all the room.
    let long = "0123456789".repeat(1000);
    say(&mut mallory, "x", &long);
    sees(&browser, author, &long);
    assert_eq!(browser.value("document.documentElement.scrollWidth <= innerWidth"), true);
    let height = "document.querySelector('.folded').clientHeight";
    assert!(browser.value(height).as_u64().unwrap() < 300);
    browser.click(".folded ~ button");
    browser.wait("document.querySelector('.folded') === null");

    // What does not fit comes back to its author, with a word.
    browser.run("document.getElementById('text').value = 'x'.repeat(200000)", json!([]));
    browser.type_into("#text", ENTER);
    browser.wait("document.getElementById('send-error').textContent.includes('too long')");
    assert_eq!(browser.value("document.getElementById('text').value.length"), 200_000);
    // The word goes when one begins to change the text.
    browser.type_into("#text", "y");
    browser.wait("document.getElementById('send-error').textContent === ''");
    is_clean(&browser, &house);
}

#[test]
fn a_server_that_goes_and_comes_back_costs_nothing_on_the_screen() {
    let _alone = alone();
    let Some(driver) = Driver::start() else { return };
    let house = House::open();
    let browser = driver.browser();
    browser.visit(&format!("{}#x", house.url()));
    enter(&browser, "Anna");
    browser.type_into("#join-room", "y\u{e007}");
    browser.wait("document.querySelectorAll('#rooms li').length === 2");
    browser.click("#rooms li:first-child button");
    let mut bob = house.client("Bob", &["x"]);
    for number in 0..60 {
        say(&mut bob, "x", &format!("message {number}"));
    }
    sees(&browser, "Bob", "message 59");
    is_clean(&browser, &house);
    // One reads further up, and has begun to write.
    browser.run(&format!("{LOG}.scrollTop = 500"), json!([]));
    browser.wait("!document.getElementById('more').hidden");
    browser.type_into("#text", "not sent yet");
    let place = format!("{LOG}.scrollTop");
    assert_eq!(browser.value(&place), 500);
    // News below does not move what one reads, and is counted.
    say(&mut bob, "x", "below");
    browser.wait("document.getElementById('more').textContent.includes('1 new message')");
    assert_eq!(browser.value(&place), 500);

    let web = house.web.clone();
    house.parlor.stop();
    browser.wait("document.getElementById('status').textContent.includes('Trying again')");
    browser.type_into("#text", ENTER);
    browser.wait("document.getElementById('send-error').textContent.includes('Your text stays here')");
    // The bar above has made the log smaller; one still reads the same.
    assert_eq!(browser.value(&place), 500);

    let house = House::open_at(&web);
    browser.wait("document.getElementById('status').textContent === ''");
    browser.wait("document.getElementById('send-error').textContent === ''");
    assert_eq!(browser.value(&place), 500);
    assert_eq!(browser.value("document.getElementById('text').value"), "not sent yet");
    let mark = format!("{LOG}.innerText.includes('Messages may be missing here')");
    browser.wait(&mark);
    sees(&browser, "Bob", "message 0");
    sees(&browser, "Bob", "below");

    // It is in its rooms again, under its name.
    let mut bob = house.client("Bob", &["x", "y"]);
    browser.type_into("#text", ENTER);
    expect(&mut bob, "x", "Anna", "not sent yet");
    sees(&browser, "Anna", "not sent yet");
    say(&mut bob, "y", "in the other room");
    browser.wait("document.querySelector('#rooms li:last-child .badge').innerText.startsWith('1')");
    browser.click("#rooms li:last-child button");
    browser.wait(&mark);
    sees(&browser, "Bob", "in the other room");
    // A room in which nobody looks keeps the latest messages, and says that there were more.
    for number in 0..600 {
        say(&mut bob, "x", &format!("flood {number}"));
    }
    browser.wait("document.title.startsWith('(600) ')");
    browser.click("#rooms li:first-child button");
    browser.wait("document.getElementById('more').textContent.includes('600 new messages')");
    browser.wait("document.querySelector('.log:not([hidden]) .divider + .note').textContent.startsWith('More messages')");
    sees(&browser, "Bob", "flood 599");
    // A page that is loaded again in the same tab, as phones do it, is in the same rooms and has the unsent text.
    browser.type_into("#text", "half a text");
    browser.run("location.reload()", json!([]));
    browser.wait("document.getElementById('text').value === 'half a text'");
    browser
        .wait("document.querySelectorAll('#rooms li').length === 2 && document.title.startsWith('\\u2068x')");

    // What the browser itself says of a server that is not there is all that the console has.
    let console = browser.console();
    assert!(console.iter().all(|line| line.contains("WebSocket connection to")), "{console:?}");
}

/// Passed over where there is no `redis-server`.
#[cfg(feature = "cluster")]
#[test]
fn the_page_comes_back_when_its_node_has_its_engine_again() {
    let _alone = alone();
    if !redis::has_engine() {
        return;
    }
    let Some(driver) = Driver::start() else { return };
    let mut engine = redis::Engine::start(&[]);
    let url = engine.url();
    let house = House::open_with("127.0.0.1:0", &["--cluster", &url]);
    let other = House::open_with("127.0.0.1:0", &["--cluster", &url]);
    let browser = driver.browser();
    browser.visit(&format!("{}#x", house.url()));
    enter(&browser, "Anna");
    browser.wait("document.getElementById('status').textContent === ''");
    let mut bob = other.client("Bob", &["x"]);
    say(&mut bob, "x", "from the other node");
    sees(&browser, "Bob", "from the other node");
    browser.type_into("#text", "not sent yet");

    engine.kill();
    browser
        .wait("document.getElementById('status').textContent.includes('lost touch with the other servers')");
    browser.wait("document.getElementById('status').textContent.includes('Trying again')");
    browser.type_into("#text", ENTER);
    browser.wait("document.getElementById('send-error').textContent.includes('Your text stays here')");
    engine.revive();
    browser.wait("document.getElementById('status').textContent === ''");
    browser.wait(&format!("{LOG}.innerText.includes('Messages may be missing here')"));
    sees(&browser, "Bob", "from the other node");

    // It is in its room again, under its name.
    redis::until("the other node serves its clients", || {
        Client::connect(&other.lines).ask(r#"{"action":"no such thing"}"#).starts_with("Unknown action")
    });
    let mut bob = other.client("Bob", &["x"]);
    browser.type_into("#text", ENTER);
    expect(&mut bob, "x", "Anna", "not sent yet");
    say(&mut bob, "x", "and there it is");
    sees(&browser, "Bob", "and there it is");
    is_clean(&browser, &house);
}

#[test]
fn a_name_is_kept_for_the_next_visit_and_waited_for() {
    let _alone = alone();
    let Some(driver) = Driver::start() else { return };
    let house = House::open();
    let browser = driver.browser();
    browser.visit(&format!("{}#x", house.url()));
    enter(&browser, "Anna");
    browser.visit("about:blank");
    // Somebody takes the name as soon as it is free.
    let mut other = house.client("other", &["x"]);
    let login = json!({"action": "LOGIN NICK", "nickname": "Anna"}).to_string();
    while other.ask(&login) != "OK" {}

    // Until it is free again one can read, but not write under another name.
    browser.visit(&format!("{}#x", house.url()));
    browser.wait("document.getElementById('status').textContent.includes('still in use')");
    let mut bob = house.client("Bob", &["x"]);
    say(&mut bob, "x", "who is there?");
    sees(&browser, "Bob", "who is there?");
    say(&mut other, "x", "I am the other Anna");
    sees(&browser, "Anna", "I am the other Anna");
    assert_eq!(browser.value("document.querySelectorAll('.own').length"), 0);
    browser.type_into("#text", &format!("it is me{ENTER}"));
    browser.wait("document.getElementById('send-error').textContent.includes('Your text stays here')");
    drop(other);
    browser.wait("document.getElementById('status').textContent === ''");
    browser.type_into("#text", ENTER);
    expect(&mut bob, "x", "Anna", "it is me");

    // Another name; the messages that follow are one's own, too.
    browser.click("#name");
    browser.fill("#nickname", "Bob");
    browser.type_into("#nickname", ENTER);
    browser.wait("document.getElementById('name-error').textContent.includes('Somebody else has this name')");
    enter(&browser, "Hanna");
    write(&browser, "a new name");
    expect(&mut bob, "x", "Hanna", "a new name");
    browser.wait("[...document.querySelectorAll('.own .author')].at(-1).textContent === 'Hanna'");
    is_clean(&browser, &house);
}

#[test]
fn a_phone_and_a_keyboard_are_enough() {
    let _alone = alone();
    let Some(driver) = Driver::start() else { return };
    let house = House::open();
    let browser = driver.browser();
    browser.resize(320, 568);
    browser.visit(&house.url());
    // From here on only keys.
    browser.wait("document.activeElement.id === 'nickname'");
    browser.press("A");
    browser.press(TAB);
    browser.press(TAB);
    browser.press(ENTER);
    browser
        .wait("document.activeElement.id === 'text' && document.getElementById('status').textContent === ''");
    let mut bob = house.client("Bob", &["lobby"]);
    for number in 0..30 {
        say(&mut bob, "lobby", &format!("message {number}"));
    }
    sees(&browser, "Bob", "message 29");
    ["h", "i", ENTER].iter().for_each(|key| browser.press(key));
    expect(&mut bob, "lobby", "A", "hi");
    sees(&browser, "A", "hi");

    browser.wait(LAST_IS_SEEN);
    // Nothing is wider than the screen.
    assert_eq!(browser.value("document.documentElement.scrollWidth"), 320);

    // From anywhere back to the field.
    browser.run(&format!("{LOG}.focus()"), json!([]));
    browser.press(ESCAPE);
    browser.wait("document.activeElement.id === 'text'");

    // Another room, and back.
    browser.run("document.getElementById('add').focus()", json!([]));
    browser.press(ENTER);
    browser.wait("document.activeElement.id === 'join-room'");
    ["n", "e", "w", ENTER].iter().for_each(|key| browser.press(key));
    browser.wait("document.getElementById('room-name').textContent === 'new'");
    browser.wait("document.querySelectorAll('#rooms [aria-current=true]').length === 1");
    browser.run("document.querySelector('#rooms button').focus()", json!([]));
    browser.press(ENTER);
    browser.wait("document.getElementById('room-name').textContent === 'lobby'");
    sees(&browser, "A", "hi");
    is_clean(&browser, &house);
}

#[test]
fn there_is_no_way_past_the_dialog_at_the_door() {
    let _alone = alone();
    let Some(driver) = Driver::start() else { return };
    let house = House::open();
    let browser = driver.browser();
    let mut bob = house.client("Bob", &["x"]);
    browser.visit(&format!("{}#x", house.url()));
    browser.wait("document.getElementById('welcome').open");
    [ESCAPE, ESCAPE, ESCAPE].iter().for_each(|key| browser.press(key));
    browser.wait("document.getElementById('welcome').open");
    // Blanks alone are no name, and a name in use is none either.
    browser.type_into("#nickname", &format!("  {ENTER}"));
    browser.wait("document.querySelector('#nickname:invalid')");
    browser.fill("#nickname", "Bob");
    browser.type_into("#nickname", ENTER);
    browser.wait("document.getElementById('name-error').textContent.includes('Somebody else has this name')");
    assert_eq!(browser.value("document.getElementById('status').textContent"), "");
    [ESCAPE, ESCAPE, ESCAPE].iter().for_each(|key| browser.press(key));
    enter(&browser, "Anna");
    write(&browser, "I am in");
    expect(&mut bob, "x", "Anna", "I am in");

    // Once inside, one may think better of another name.
    browser.click("#name");
    browser.wait("document.getElementById('welcome').open");
    browser.press(ESCAPE);
    browser.wait("!document.getElementById('welcome').open && document.activeElement.id === 'text'");
    is_clean(&browser, &house);
}

/// Whoever stands at the end of a log goes on seeing the newest message, whatever happens to the room that it has.
#[test]
fn the_newest_message_is_seen_over_a_keyboard_and_a_high_field() {
    let _alone = alone();
    let Some(driver) = Driver::start() else { return };
    let house = House::open();
    let browser = driver.browser();
    browser.cdp("Emulation.setTouchEmulationEnabled", json!({"enabled": true}));
    browser.resize(360, 640);
    browser.visit(&format!("{}#x", house.url()));
    enter(&browser, "Anna");
    let mut bob = house.client("Bob", &["x"]);
    let mut news = 0;
    let mut is_followed = |count: u32| {
        for _ in 0..count {
            news += 1;
            say(&mut bob, "x", &format!("news {news}"));
        }
        sees(&browser, "Bob", &format!("news {news}"));
        browser.wait(LAST_IS_SEEN);
    };
    is_followed(60);
    browser.click("#text");
    for (width, height) in
        [(360, 330), (360, 640), (320, 568), (320, 260), (320, 568), (844, 390), (390, 844)]
    {
        browser.resize(width, height);
        browser.wait(&format!("innerWidth === {width} && innerHeight === {height}"));
        is_followed(1);
        // Where a keyboard leaves little, what is not needed for writing makes room.
        let is_low = browser.value("document.getElementById('head').offsetHeight === 0");
        assert_eq!(is_low, height < 416, "{width}x{height}");
    }
    let height = "document.getElementById('text').offsetHeight";
    let low = browser.value(height).as_u64().unwrap();
    for line in 1..=4 {
        browser.type_into("#text", &format!("a{LINE_END}b"));
        is_followed(1);
        assert!(browser.value(height).as_u64().unwrap() > low, "line {line}");
    }
    browser.type_into("#text", &"and a text that wraps ".repeat(10));
    is_followed(1);
    browser.type_into("#text", ENTER);
    browser.wait("document.getElementById('text').value === ''");
    browser.wait(LAST_IS_SEEN);
    assert_eq!(browser.value(height).as_u64().unwrap(), low);

    // To move up, however little, is to stay there.
    browser.run(&format!("{LOG}.scrollTop -= 30"), json!([]));
    browser.wait("!document.getElementById('more').hidden");
    browser.click("#more");
    browser.wait(LAST_IS_SEEN);
    // The button has not taken the focus from the field, which would have closed the keyboard.
    assert_eq!(browser.value("document.activeElement.id"), "text");

    // A low window that has no keyboard in it, such as a large page on a small screen, keeps all its controls.
    browser.cdp("Emulation.setTouchEmulationEnabled", json!({"enabled": false}));
    browser.resize(683, 330);
    browser.click("#leave");
    browser.wait("document.querySelectorAll('#rooms li').length === 0");
    is_clean(&browser, &house);
}

#[test]
fn a_message_that_is_under_way_for_long_is_told() {
    let _alone = alone();
    let Some(driver) = Driver::start() else { return };
    let house = House::open();
    let browser = driver.browser();
    browser.visit(&format!("{}#x", house.url()));
    enter(&browser, "Anna");
    let sending = "document.getElementById('sending').textContent";
    write(&browser, "at once");
    sees(&browser, "Anna", "at once");
    assert_eq!(browser.value(sending), "");
    house.parlor.signal("STOP");
    write(&browser, "into the void");
    write(&browser, "and another");
    browser.wait(&format!("{sending} === 'Sending 2 messages…'"));
    house.parlor.signal("CONT");
    browser.wait(&format!("{sending} === ''"));
    sees(&browser, "Anna", "into the void");
    sees(&browser, "Anna", "and another");
    is_clean(&browser, &house);
}

/// A device that sleeps loses its connection long before it notices.
#[test]
fn a_loss_is_told_from_when_something_came_last() {
    let _alone = alone();
    let Some(driver) = Driver::start() else { return };
    let house = House::open();
    let browser = driver.browser();
    let clock = |hour: u32| {
        let script = "window.RealDate ??= Date;
            const now = new RealDate(2026, 0, 2, arguments[0]).getTime();
            window.Date = class extends RealDate { constructor(...given) { super(...(given.length ? given : [now])); } };
            return new Date().toLocaleTimeString();";
        browser.run(script, json!([hour])).as_str().unwrap().to_string()
    };
    browser.visit(&format!("{}#x", house.url()));
    enter(&browser, "Anna");
    let before = clock(12);
    say(&mut house.client("Bob", &[]), "x", "the last word");
    sees(&browser, "Bob", "the last word");
    let after = clock(13);
    let web = house.web.clone();
    // Without last words.
    drop(house);
    let _house = House::open_at(&web);
    browser.wait(&format!("{LOG}.innerText.includes('Messages may be missing here')"));
    let note = browser.value("[...document.querySelectorAll('.note')].at(-1).textContent");
    let note = note.as_str().unwrap();
    assert!(note.contains(&before) && note.contains(&after), "{note}");
}

#[test]
#[cfg(feature = "tls")]
fn over_tls_the_page_is_the_same() {
    let _alone = alone();
    let Some(driver) = Driver::start() else { return };
    let house = House::open_encrypted();
    let mut carol = house.client("Carol", &["café"]);
    let (anna, bob) = (driver.trusting_browser(), driver.trusting_browser());
    for (browser, nickname) in [(&anna, "Anna"), (&bob, "Bob")] {
        browser.visit(&format!("{}#caf%C3%A9", house.url()));
        enter(browser, nickname);
        browser.wait("document.getElementById('status').textContent === ''");
    }
    assert_eq!(anna.value("isSecureContext && location.protocol"), "https:");
    write(&anna, "hello from Anna");
    sees(&bob, "Anna", "hello from Anna");
    expect(&mut carol, "café", "Anna", "hello from Anna");
    // More than a record holds, in both directions.
    let long = "0123456789".repeat(1500);
    say(&mut carol, "café", &long);
    sees(&anna, "Carol", &long);
    bob.run("document.getElementById('text').value = '0123456789'.repeat(1500)", json!([]));
    bob.type_into("#text", ENTER);
    expect(&mut carol, "café", "Bob", &long);
    sees(&anna, "Bob", &long);
    // A second visit resumes the session.
    anna.visit("about:blank");
    anna.visit(&format!("{}#caf%C3%A9", house.url()));
    anna.wait("document.getElementById('status').textContent === ''");
    write(&anna, "here again");
    expect(&mut carol, "café", "Anna", "here again");
    is_clean(&anna, &house);
    is_clean(&bob, &house);
}
