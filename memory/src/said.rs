//! Every column of the database that holds what somebody said, for forgetting. It changes nothing itself.

/// A column that holds what was said.
pub(crate) struct Column {
    pub(crate) what: &'static str,
    pub(crate) is_json: bool,
    /// Number of the row, text, turn, session; only of the turns in `?1`, a JSON list, unless it is NULL.
    pub(crate) read: &'static str,
    /// Nothing: a name that stays.
    pub(crate) write: &'static str,
}

macro_rules! column {
    ($what:literal, $json:literal, $read:literal, $turn:literal, $write:literal) => {
        Column {
            what: $what,
            is_json: $json,
            read: concat!($read, " WHERE (?1 IS NULL OR ", $turn, " IN (SELECT value FROM json_each(?1)))"),
            write: $write,
        }
    };
}

/// Pieces of turns stand here as well: they are what was said. Other notes are written by somebody; what they quote of a forgotten one goes.
pub(crate) const COLUMNS: &[Column] = &[
    column!(
        "note",
        false,
        "SELECT number, text, CASE kind WHEN 'turn' THEN source_turn END, session FROM notes",
        "CASE kind WHEN 'turn' THEN source_turn END",
        "UPDATE notes SET text = ?2 WHERE number = ?1"
    ),
    column!(
        "message",
        false,
        "SELECT i.id, i.text, t.id, i.session FROM inbox i LEFT JOIN turns t ON t.inbound = i.id",
        "t.id",
        "UPDATE inbox SET text = ?2 WHERE id = ?1"
    ),
    column!(
        "data",
        false,
        "SELECT i.id, i.data, t.id, i.session FROM inbox i LEFT JOIN turns t ON t.inbound = i.id",
        "t.id",
        "UPDATE inbox SET data = ?2 WHERE id = ?1"
    ),
    column!(
        "step",
        true,
        "SELECT p.id, p.body, p.turn, t.session FROM steps p JOIN turns t ON t.id = p.turn",
        "p.turn",
        "UPDATE steps SET body = ?2 WHERE id = ?1"
    ),
    column!("outcome", false, "SELECT id, outcome, id, session FROM turns", "id", "UPDATE turns SET outcome = ?2 WHERE id = ?1"),
    column!("task", true, "SELECT id, task, id, session FROM turns", "id", "UPDATE turns SET task = ?2 WHERE id = ?1"),
    // What answers no turn was said beside one.
    column!(
        "reply",
        false,
        "SELECT id, text, coalesce(turn, beside), session FROM outbox",
        "coalesce(turn, beside)",
        "UPDATE outbox SET text = ?2 WHERE id = ?1"
    ),
    column!(
        "trouble with a reply",
        false,
        "SELECT id, given_up, coalesce(turn, beside), session FROM outbox",
        "coalesce(turn, beside)",
        "UPDATE outbox SET given_up = ?2 WHERE id = ?1"
    ),
    column!("what a reply is about", false, "SELECT id, about, coalesce(turn, beside), session FROM outbox", "NULL", ""),
    column!("writer of a message", false, "SELECT id, person, NULL, session FROM inbox", "NULL", ""),
    column!(
        "summary",
        false,
        "SELECT s.rowid, s.text, s.upto, s.session FROM summaries s",
        "EXISTS (SELECT 1 FROM turns t WHERE t.session = s.session AND t.id <= s.upto AND t.id IN (SELECT value FROM json_each(?1))) OR s.upto",
        "UPDATE summaries SET text = ?2 WHERE rowid = ?1"
    ),
    column!(
        "origin of a note",
        false,
        "SELECT number, origin, NULL, session FROM notes",
        "NULL",
        "UPDATE notes SET origin = ?2 WHERE number = ?1"
    ),
    // Two notes cannot have the same.
    column!(
        "key of a note",
        false,
        "SELECT number, key, NULL, session FROM notes",
        "NULL",
        "UPDATE notes SET key = NULL WHERE number = ?1 AND ?2 <> ''"
    ),
    column!(
        "source of an imported note",
        true,
        "SELECT number, imported, NULL, session FROM notes",
        "NULL",
        "UPDATE notes SET imported = ?2 WHERE number = ?1"
    ),
    column!(
        "origin of a summary",
        false,
        "SELECT rowid, origin, upto, session FROM summaries",
        "NULL",
        "UPDATE summaries SET origin = ?2 WHERE rowid = ?1"
    ),
    column!("job", false, "SELECT id, text, NULL, NULL FROM jobs", "NULL", "UPDATE jobs SET text = ?2 WHERE id = ?1"),
    column!("origin of a job", false, "SELECT id, origin, NULL, NULL FROM jobs", "NULL", "UPDATE jobs SET origin = ?2 WHERE id = ?1"),
    column!("name of a job", false, "SELECT id, name, NULL, NULL FROM jobs", "NULL", ""),
    column!("schedule of a job", false, "SELECT id, schedule, NULL, NULL FROM jobs", "NULL", ""),
    column!("name of a session", false, "SELECT id, name, NULL, id FROM sessions", "NULL", ""),
    column!("path of a changed file", false, "SELECT id, path, turn, NULL FROM files", "NULL", ""),
    column!("run of a job", false, "SELECT id, why, turn, NULL FROM job_runs", "turn", "UPDATE job_runs SET why = ?2 WHERE id = ?1"),
    // A rule with other words would allow something else.
    column!("grant", true, "SELECT id, rule, NULL, session FROM grants", "NULL", "DELETE FROM grants WHERE id = ?1 AND ?2 <> ''"),
    column!(
        "system block",
        false,
        "SELECT id, system_block, NULL, id FROM sessions",
        "NULL",
        "UPDATE sessions SET system_block = ?2 WHERE id = ?1"
    ),
    // The settings table has no numbers.
    column!("setting of a channel", false, "SELECT 0, value, NULL, NULL FROM settings", "NULL", ""),
    column!("skill", false, "SELECT rowid, text, NULL, NULL FROM skills", "NULL", "UPDATE skills SET text = ?2 WHERE rowid = ?1"),
];
