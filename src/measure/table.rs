//! Tables for people: columns as wide as their widest cell, numbers to the right.

/// Lays `rows` out below `head`. A column whose cells are all numbers, or missing, goes to the right.
pub fn table<const N: usize>(head: [&str; N], rows: &[[String; N]]) -> Vec<String> {
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).chain([head[column].chars().count()]).max();
    let widths: [usize; N] = std::array::from_fn(|column| width(column).unwrap_or(0));
    let is_number = |text: &String| text == "-" || text.starts_with(|first: char| first.is_ascii_digit());
    let right: [bool; N] = std::array::from_fn(|column| rows.iter().all(|row| is_number(&row[column])));
    let line = |cells: [&str; N]| {
        let cells: [String; N] = std::array::from_fn(|column| {
            let (cell, width) = (cells[column], widths[column]);
            if right[column] { format!("{cell:>width$}") } else { format!("{cell:<width$}") }
        });
        cells.join("  ").trim_end().to_owned()
    };
    let body = rows.iter().map(|row| line(std::array::from_fn(|column| row[column].as_str())));
    [line(head)].into_iter().chain(body).collect()
}

/// A number with a sensible count of digits; `-` for none.
pub fn number(value: Option<f64>) -> String {
    match value.filter(|value| value.is_finite()) {
        None => "-".to_owned(),
        Some(value) if value.abs() >= 100.0 => format!("{value:.0}"),
        Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
        Some(value) if value.abs() >= 1.0 || value == 0.0 => format!("{value:.2}"),
        Some(value) => format!("{value:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = [["cold".to_owned(), "1200".to_owned()], ["warm".to_owned(), "-".to_owned()]];
        assert_eq!(table(["state", "ms"], &rows), ["state    ms", "cold   1200", "warm      -"]);
        assert_eq!(table(["state", "ms"], &[]), ["state  ms"]);
    }

    #[test]
    fn numbers_have_few_digits() {
        let check = |value: f64, expected: &str| assert_eq!(number(Some(value)), expected);
        check(1234.56, "1235");
        check(12.345, "12.3");
        check(1.005, "1.00");
        check(0.01234, "0.0123");
        check(f64::NAN, "-");
        assert_eq!(number(None), "-");
    }
}
