//! Figures side by side, and what they should be.

use super::Figures;

/// The table that is printed in the end.
pub struct Table<'a> {
    small: &'a Figures,
    large: &'a Figures,
    rows: Vec<Row>,
}

/// One figure of both houses.
pub struct Row {
    name: &'static str,
    small: f64,
    large: f64,
    at_most: Option<f64>,
    ratio_at_most: Option<f64>,
    shows_ratio: bool,
}

impl Row {
    /// What the figure of the large house should be.
    pub fn at_most(&mut self, goal: f64) {
        self.at_most = Some(goal);
    }

    /// How many times the figure of the small house that of the large one should be.
    pub fn ratio_at_most(&mut self, goal: f64) {
        self.ratio_at_most = Some(goal);
        self.shows_ratio = true;
    }

    /// That the ratio is to be looked at.
    pub fn show_ratio(&mut self) {
        self.shows_ratio = true;
    }

    fn ratio(&self) -> f64 {
        self.large / self.small
    }

    /// The goal, and whether it is met.
    fn goal(&self) -> String {
        let (goal, is_met) = match (self.at_most, self.ratio_at_most) {
            (Some(goal), _) => (format!("at most {}", number(goal)), self.large <= goal),
            (_, Some(goal)) => (format!("ratio at most {goal}"), self.ratio() <= goal),
            _ => return String::new(),
        };
        format!("{goal}: {}", if is_met { "met" } else { "MISSED" })
    }
}

impl<'a> Table<'a> {
    /// An empty table for these two houses.
    pub fn new(small: &'a Figures, large: &'a Figures) -> Self {
        Table { small, large, rows: Vec::new() }
    }

    /// Adds a figure.
    pub fn row(&mut self, name: &'static str, figure: impl Fn(&Figures) -> f64) -> &mut Row {
        let (small, large) = (figure(self.small), figure(self.large));
        self.rows.push(Row { name, small, large, at_most: None, ratio_at_most: None, shows_ratio: false });
        self.rows.last_mut().expect("it has just been pushed")
    }

    /// Prints it.
    pub fn print(&self) {
        let [small, large] =
            [self.small, self.large].map(|house| format!("{} clients", number(house.clients as f64)));
        println!("{:<30} {small:>16} {large:>18} {:>6}  goal", "", "ratio");
        for row in &self.rows {
            let (small, large) = (number(row.small), number(row.large));
            // Where both are next to nothing their ratio is noise.
            let ratio = if row.shows_ratio { format!("{:.2}", row.ratio()) } else { String::new() };
            let line = format!("{:<30} {small:>16} {large:>18} {ratio:>6}  {}", row.name, row.goal());
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
