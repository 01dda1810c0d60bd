//! The page's files, as they lie in `src/web/page/`. They are in the binary: nothing else is needed to serve them.

use super::site::File;

const HTML: &str = "text/html; charset=utf-8";
const CSS: &str = "text/css; charset=utf-8";
const JAVASCRIPT: &str = "text/javascript; charset=utf-8";

/// All of them.
pub const FILES: &[File] = &[
    File { path: "/", content_type: HTML, bytes: include_bytes!("page/index.html") },
    File { path: "/style.css", content_type: CSS, bytes: include_bytes!("page/style.css") },
    File { path: "/app.js", content_type: JAVASCRIPT, bytes: include_bytes!("page/app.js") },
    File { path: "/connection.js", content_type: JAVASCRIPT, bytes: include_bytes!("page/connection.js") },
    File { path: "/room.js", content_type: JAVASCRIPT, bytes: include_bytes!("page/room.js") },
    File { path: "/text.js", content_type: JAVASCRIPT, bytes: include_bytes!("page/text.js") },
];

#[cfg(test)]
mod tests {
    use super::*;

    fn text(file: &File) -> &'static str {
        std::str::from_utf8(file.bytes).unwrap()
    }

    /// What stands in quotes behind `before`, wherever that stands.
    fn named<'a>(text: &'a str, before: &'a str) -> impl Iterator<Item = &'a str> {
        text.split(before).skip(1).map(|rest| rest.split(['"', '\'']).next().unwrap())
    }

    #[test]
    fn what_the_page_asks_for_is_there() {
        let mut found = 0;
        for file in FILES {
            let names = named(text(file), "src=\"")
                .chain(named(text(file), "href=\""))
                .chain(named(text(file), "from './"));
            for name in names.filter(|name| !name.starts_with("data:")) {
                assert!(FILES.iter().any(|file| file.path == format!("/{name}")), "{}: {name}", file.path);
                found += 1;
            }
        }
        assert!(found >= FILES.len() - 1);
    }

    /// What the policy forbids would fail only in a browser.
    #[test]
    fn there_is_no_script_and_no_style_within_the_html() {
        let html = text(&FILES[0]);
        assert!(!html.contains("<style") && !html.contains(" style=") && !html.contains("javascript:"));
        assert!(html.split("<script").skip(1).all(|tag| tag.contains("src=") && tag.contains("></script>")));
        assert!(!html.split([' ', '\n']).any(|word| word.starts_with("on") && word.contains('=')));
    }
}
