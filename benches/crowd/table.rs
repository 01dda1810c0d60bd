//! Figures side by side.

use super::Figures;

/// The table that is printed in the end.
pub struct Table<'a> {
    small: &'a Figures,
    large: &'a Figures,
    rows: Vec<Row>,
}

/// One figure of both crowds.
pub struct Row {
    name: &'static str,
    small: f64,
    large: f64,
    shows_ratio: bool,
}

impl Row {
    /// That the ratio is to be looked at.
    pub fn show_ratio(&mut self) {
        self.shows_ratio = true;
    }

    fn ratio(&self) -> f64 {
        self.large / self.small
    }
}

impl<'a> Table<'a> {
    /// An empty table for these two crowds.
    pub fn new(small: &'a Figures, large: &'a Figures) -> Self {
        Table { small, large, rows: Vec::new() }
    }

    /// Adds a figure.
    pub fn row(&mut self, name: &'static str, figure: impl Fn(&Figures) -> f64) -> &mut Row {
        let (small, large) = (figure(self.small), figure(self.large));
        self.rows.push(Row { name, small, large, shows_ratio: false });
        self.rows.last_mut().expect("it has just been pushed")
    }

    /// Prints it.
    pub fn print(&self) {
        let [small, large] =
            [self.small, self.large].map(|figures| format!("{} clients", number(figures.clients as f64)));
        println!("{:<30} {small:>16} {large:>18} {:>6}", "", "ratio");
        for row in &self.rows {
            let (small, large) = (number(row.small), number(row.large));
            // Where both are next to nothing their ratio is noise.
            let ratio = if row.shows_ratio { format!("{:.2}", row.ratio()) } else { String::new() };
            let line = format!("{:<30} {small:>16} {large:>18} {ratio:>6}", row.name);
            println!("{}", line.trim_end());
        }
    }
}

/// Three digits, and a comma between thousands.
fn number(value: f64) -> String {
    let decimals = if value.abs() < 10.0 && value.fract() != 0.0 { 2 } else { 0 };
    let plain = format!("{value:.decimals$}");
    let (whole, fraction) = plain.split_at(plain.find('.').unwrap_or(plain.len()));
    let (sign, digits) = whole.split_at(usize::from(whole.starts_with('-')));
    let mut grouped = String::new();
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}{fraction}")
}
