//! Draws the [`App`]. At any size: a wide screen has the rooms at the left, a narrow one has one row for them, and a low
//! one does without.

use std::time::Instant;

use ratatui::Frame;
use ratatui::layout::Rect;
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use unicode_segmentation::UnicodeSegmentation;
use unicode_width::UnicodeWidthStr;

use super::app::{App, Connection};
use super::pane::{Entry, Kind, Pane, Row, indent};
use super::{help, wrap};
use crate::escape;

/// From this width on the rooms have a column of their own.
const WIDE: u16 = 50;

/// How things look.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    /// Without it (`NO_COLOR`) there are only bold, dim, underlined and reversed.
    pub has_colours: bool,
}

/// Colours of authors, those that can be read on a dark and on a light ground.
const COLOURS: &[Color] = &[
    Color::Red,
    Color::Green,
    Color::Yellow,
    Color::Magenta,
    Color::Cyan,
    Color::LightRed,
    Color::LightGreen,
    Color::LightBlue,
    Color::LightMagenta,
    Color::LightCyan,
];

impl Look {
    /// The same name always has the same colour.
    fn author(self, name: &str, own: bool) -> Style {
        let style = Style::new().add_modifier(Modifier::BOLD);
        if own {
            return style;
        }
        // FNV-1a.
        let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
            (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
        });
        let colour = usize::try_from(hash >> 32).ok().and_then(|hash| COLOURS.get(hash % COLOURS.len()));
        self.coloured(style, colour.copied().unwrap_or_default())
    }

    fn coloured(self, style: Style, colour: Color) -> Style {
        if self.has_colours { style.fg(colour) } else { style }
    }

    fn dim(self) -> Style {
        Style::new().add_modifier(Modifier::DIM)
    }

    fn bar(self) -> Style {
        Style::new().add_modifier(Modifier::REVERSED)
    }
}

/// Draws everything.
pub fn draw(frame: &mut Frame, app: &mut App, look: Look) {
    let all = frame.area();
    if all.is_empty() {
        return;
    }
    let (mut rest, input) = split_bottom(all);
    draw_input(frame, app, input);
    if !rest.is_empty() {
        let (above, bar) = split_bottom(rest);
        draw_bar(frame, app, look, bar);
        rest = above;
    }
    if all.width >= WIDE && rest.height >= 3 {
        let (rooms, messages) = split_left(rest, column_width(&app.panes, all.width));
        draw_column(frame, app, look, rooms);
        rest = messages;
    } else if rest.height >= 3 {
        let row = Rect { height: 1, ..rest };
        rest = Rect { y: rest.y + 1, height: rest.height - 1, ..rest };
        draw_row_of_rooms(frame, app, look, row);
    }
    app.window = (rest.width.into(), rest.height.into());
    if !rest.is_empty() {
        if app.help.is_some() { draw_help(frame, app, rest) } else { draw_messages(frame, app, look, rest) }
    }
}

fn split_bottom(area: Rect) -> (Rect, Rect) {
    let height = area.height.saturating_sub(1);
    (Rect { height, ..area }, Rect { y: area.y + height, height: area.height.min(1), ..area })
}

fn split_left(area: Rect, width: u16) -> (Rect, Rect) {
    let width = width.min(area.width);
    (Rect { width, ..area }, Rect { x: area.x + width, width: area.width - width, ..area })
}

fn put<'a>(frame: &mut Frame, area: Rect, row: usize, line: impl Into<Line<'a>>) {
    if let Ok(row) = u16::try_from(row)
        && row < area.height
    {
        frame.render_widget(line.into(), Rect { y: area.y + row, height: 1, ..area });
    }
}

// The rooms

fn column_width(panes: &[Pane], width: u16) -> u16 {
    let longest = panes.iter().map(|pane| pane.title.width()).max().unwrap_or(0);
    u16::try_from(longest + 9).unwrap_or(u16::MAX).clamp(14, (width / 4).max(14))
}

fn count(pane: &Pane) -> String {
    let mark = if pane.is_called { "!" } else { "" };
    match pane.unread {
        0 => String::new(),
        1..=999 => format!("{}{mark}", pane.unread),
        _ => format!("999+{mark}"),
    }
}

fn draw_column(frame: &mut Frame, app: &App, look: Look, area: Rect) {
    let height = usize::from(area.height);
    // The room on the screen is always among those that are seen.
    let first = (app.current + 1).saturating_sub(height);
    let width = usize::from(area.width.saturating_sub(1));
    for row in 0..height {
        let mut line = Line::default();
        if let Some(pane) = app.panes.get(first + row) {
            let number = first + row;
            let number = if number <= 9 { format!("{number} ") } else { "  ".into() };
            let count = count(pane);
            let room = width.saturating_sub(number.len() + count.len() + 1);
            let title = wrap::fit(&pane.title, room);
            let gap = " ".repeat(width.saturating_sub(number.len() + title.width() + count.len()));
            let style = pane_style(pane, first + row == app.current, look);
            line.push_span(Span::styled(format!("{number}{title}{gap}{count}"), style));
        } else {
            line.push_span(" ".repeat(width));
        }
        line.push_span(Span::styled("│", look.dim()));
        put(frame, area, row, line);
    }
}

fn pane_style(pane: &Pane, is_current: bool, look: Look) -> Style {
    if is_current {
        look.bar()
    } else if pane.is_called {
        look.coloured(Style::new().add_modifier(Modifier::BOLD | Modifier::UNDERLINED), Color::Red)
    } else if pane.unread > 0 {
        Style::new().add_modifier(Modifier::BOLD)
    } else {
        Style::new()
    }
}

/// The room on the screen, and where there is something unread: `ops 2:3! 4:1`.
fn draw_row_of_rooms(frame: &mut Frame, app: &App, look: Look, area: Rect) {
    let width = usize::from(area.width);
    let unread = app.panes.iter().enumerate().filter(|(_, pane)| pane.unread > 0);
    let unread: String = unread.map(|(number, pane)| format!(" {number}:{}", count(pane))).collect();
    let unread = wrap::fit(&unread, width / 2);
    let title = format!("{} {}", app.current, app.pane().title);
    let title = wrap::fit(&title, width - unread.width());
    let gap = " ".repeat(width - unread.width() - title.width());
    put(frame, area, 0, Span::styled(format!("{title}{gap}{unread}"), look.bar()));
}

// Messages and help

fn draw_messages(frame: &mut Frame, app: &App, look: Look, area: Rect) {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let rows = app.pane().window(width, height);
    let first = height - rows.len().min(height);
    for (number, (row, entry)) in rows.iter().enumerate() {
        put(frame, area, first + number, line_of(row, entry, look, width));
    }
}

fn line_of<'a>(row: &Row<'a>, entry: &Entry, look: Look, width: usize) -> Line<'a> {
    let text_style = match entry.kind {
        Kind::Message { mentions_me: true, .. } => {
            look.coloured(Style::new().add_modifier(Modifier::BOLD), Color::Yellow)
        }
        Kind::Message { .. } => Style::new(),
        Kind::Notice => look.dim(),
        Kind::Gap => look.coloured(Style::new().add_modifier(Modifier::BOLD), Color::Red),
    };
    let own = matches!(entry.kind, Kind::Message { own: true, .. });
    let mut line = Line::default();
    if !row.is_first {
        line.push_span(" ".repeat(indent(width)));
    }
    line.push_span(Span::styled(row.time, look.dim()));
    line.push_span(Span::styled(row.author, look.author(entry.author(), own)));
    line.push_span(Span::styled(row.text, text_style));
    line
}

fn draw_help(frame: &mut Frame, app: &mut App, area: Rect) {
    let (width, height) = (usize::from(area.width), usize::from(area.height));
    let indent = if width >= 40 { 19 } else { 2 };
    let rows: Vec<String> = help::LINES
        .iter()
        .flat_map(|line| {
            let line = if width >= 40 { (*line).to_owned() } else { help::narrow(line) };
            let rows = wrap::rows(&line, width, indent);
            let cut = |(number, row): (usize, std::ops::Range<usize>)| {
                let before = if number == 0 { 0 } else { indent };
                format!("{:before$}{}", "", line.get(row).unwrap_or_default())
            };
            rows.into_iter().enumerate().map(cut).collect::<Vec<_>>()
        })
        .collect();
    let first = app.help.unwrap_or(0).min(rows.len().saturating_sub(height));
    app.help = Some(first);
    for (number, row) in rows.iter().skip(first).take(height).enumerate() {
        put(frame, area, number, row.as_str());
    }
}

// The bar and the input line

fn draw_bar(frame: &mut Frame, app: &App, look: Look, area: Rect) {
    let width = usize::from(area.width);
    let left = if let Some(lines) = &app.question {
        let title = &app.pane().title;
        if width < 40 {
            format!("send {} lines? y/n", lines.len())
        } else {
            format!(" send {} lines to {title}? y/n", lines.len())
        }
    } else if app.help.is_some() && width < 40 {
        "help: Enter closes".into()
    } else if app.help.is_some() {
        " help: page keys scroll, Enter or Esc closes".into()
    } else {
        state(app, width)
    };
    let right = match app.pane().lines_below() {
        _ if !app.pane().is_scrolled() || app.question.is_some() || app.help.is_some() => String::new(),
        0 => " ↓ ".into(),
        below if width < 40 => format!(" ↓{below}"),
        below => format!(" ↓ {below} more, Esc "),
    };
    let right = wrap::fit(&right, width);
    let left = wrap::fit(&left, width - right.width());
    let gap = " ".repeat(width - right.width() - left.width());
    put(frame, area, 0, Span::styled(format!("{left}{gap}{right}"), look.bar()));
}

fn state(app: &App, width: usize) -> String {
    let connection = match app.connection {
        Connection::Connecting => "connecting".into(),
        Connection::Connected => "connected".into(),
        Connection::Lost { next_try } => {
            let left = next_try.saturating_duration_since(Instant::now());
            let seconds = left.as_millis().div_ceil(1000);
            if width < 40 {
                format!("lost, {seconds} s")
            } else {
                format!("no connection, next try in {seconds} s")
            }
        }
    };
    let known = match app.connection {
        Connection::Connected => app.client.nickname(),
        _ => app.client.wanted_nickname(),
    };
    let mut nickname = escape::screen_line(known.unwrap_or("guest"));
    if app.is_nickname_taken
        && let Some(wanted) = app.client.wanted_nickname()
    {
        nickname.push_str(&format!(" ({} is in use)", escape::screen_line(wanted)));
    }
    if width < 40 {
        format!("{connection} {nickname}")
    } else if width < 60 {
        format!(" {nickname} · {connection}")
    } else {
        format!(" {nickname} · {} · {connection}", app.server)
    }
}

fn draw_input(frame: &mut Frame, app: &App, area: Rect) {
    let prompt = if area.width < 30 { "" } else { "> " };
    let width = usize::from(area.width).saturating_sub(prompt.len());
    let before = escape::screen(app.input.before_cursor()).width();
    let text = escape::screen(app.input.text());
    // The cursor stands behind the last column at most one column from the end.
    let skipped = (before + 1).saturating_sub(width);
    let (mut column, mut shown, mut start) = (0, String::new(), None);
    for grapheme in text.graphemes(true) {
        if column >= skipped {
            start.get_or_insert(column);
            shown.push_str(grapheme);
        }
        column += grapheme.width();
    }
    put(frame, area, 0, format!("{prompt}{shown}"));
    let column = prompt.len() + before.saturating_sub(start.unwrap_or(skipped));
    let column = u16::try_from(column).unwrap_or(u16::MAX).min(area.width.saturating_sub(1));
    frame.set_cursor_position((area.x + column, area.y));
}
