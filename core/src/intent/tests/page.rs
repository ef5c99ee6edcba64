//! Tables on a page, read cell by cell: the page is what the tests hold the machine to.

use std::collections::BTreeMap;

/// One table of a page: what is expected of each situation and each of what is asked or heard.
#[derive(Debug)]
pub(crate) struct Page(BTreeMap<(String, String), String>);

impl Page {
    /// Reads the table under that heading, whose rows are `| from, from | heard, heard | what it makes |`.
    pub(crate) fn read(text: &str, heading: &str) -> Self {
        let mut cells = BTreeMap::new();
        let under = text
            .lines()
            .skip_while(|line| line.trim_start_matches('#').trim() != heading);
        let table = under.skip(1).take_while(|line| !line.starts_with('#'));
        let rows = table.filter(|line| line.starts_with('|')).skip(2);
        for row in rows {
            let columns: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            let [from, heard, makes] = columns[..] else {
                panic!("three columns: {row}")
            };
            for from in from.split(", ") {
                for heard in heard.split(", ") {
                    let known = cells.insert((from.to_owned(), heard.to_owned()), makes.to_owned());
                    assert_eq!(
                        known, None,
                        "`{from}` and `{heard}` stand twice under `{heading}`"
                    );
                }
            }
        }
        assert!(!cells.is_empty(), "no table under `{heading}`");
        Self(cells)
    }

    /// Holds what was seen to the page, and the page to what was seen: each cell is there once, and each is right.
    pub(crate) fn hold(mut self, seen: impl IntoIterator<Item = (String, String, String)>) {
        let mut wrong = Vec::new();
        for (from, heard, makes) in seen {
            match self.0.remove(&(from.clone(), heard.clone())) {
                Some(expected) if expected == makes => {}
                Some(expected) => wrong.push(format!("{from} | {heard}: `{expected}`, but it is `{makes}`")),
                None => wrong.push(format!("{from} | {heard}: missing; it is `{makes}`")),
            }
        }
        let unknown = self
            .0
            .keys()
            .map(|(from, heard)| format!("{from} | {heard}: no such cell"));
        wrong.extend(unknown);
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    }
}
