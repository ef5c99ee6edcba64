-- Times are milliseconds since 1970; identifiers are the 16 bytes of a UUID; a tenant is `{mode}/{merchant}`.
-- Every table starts with `paymux_`, since the host may keep tables of its own in the same file.

CREATE TABLE paymux_rows (
    tenant          TEXT    NOT NULL,
    kind            TEXT    NOT NULL,
    id              BLOB    NOT NULL,
    version         INTEGER NOT NULL,
    schema          INTEGER NOT NULL,
    status          TEXT    NOT NULL,
    customer        TEXT,
    reference       TEXT,
    parent_kind     TEXT,
    parent_id       BLOB,
    attention       TEXT    NOT NULL,
    attention_since INTEGER,
    created_at      INTEGER NOT NULL,
    updated_at      INTEGER NOT NULL,
    body            BLOB    NOT NULL,
    PRIMARY KEY (tenant, kind, id)
) STRICT;

CREATE INDEX paymux_rows_status ON paymux_rows (tenant, kind, status, id);
CREATE INDEX paymux_rows_customer ON paymux_rows (tenant, kind, customer, id) WHERE customer IS NOT NULL;
CREATE INDEX paymux_rows_reference ON paymux_rows (tenant, kind, reference, id) WHERE reference IS NOT NULL;
CREATE INDEX paymux_rows_parent ON paymux_rows (tenant, kind, parent_kind, parent_id, id)
    WHERE parent_id IS NOT NULL;
CREATE INDEX paymux_rows_created ON paymux_rows (tenant, kind, created_at);
-- The few rows that a person should look at.
CREATE INDEX paymux_rows_attention ON paymux_rows (tenant, kind, id) WHERE attention <> 'none';
-- For purging alone.
CREATE INDEX paymux_rows_evidence ON paymux_rows (created_at) WHERE kind = 'evidence';

-- `owner` is the tenant, or empty for a unique that is one over all tenants.
CREATE TABLE paymux_uniques (
    owner       TEXT NOT NULL,
    scope       TEXT NOT NULL,
    name        TEXT NOT NULL,
    tenant      TEXT NOT NULL,
    target_kind TEXT,
    target_id   BLOB,
    bytes       BLOB NOT NULL,
    expires_at  INTEGER,
    PRIMARY KEY (owner, scope, name)
) STRICT;

CREATE INDEX paymux_uniques_expiry ON paymux_uniques (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE paymux_events (
    tenant   TEXT    NOT NULL,
    row_kind TEXT    NOT NULL,
    row_id   BLOB    NOT NULL,
    sequence INTEGER NOT NULL,
    id       BLOB    NOT NULL,
    at       INTEGER NOT NULL,
    kind     TEXT    NOT NULL,
    schema   INTEGER NOT NULL,
    body     BLOB    NOT NULL,
    PRIMARY KEY (tenant, row_kind, row_id, sequence)
) STRICT;

CREATE INDEX paymux_events_at ON paymux_events (at);

-- `claimed_due` is when the work became due that the last claim took: claims are handed out in its order.
CREATE TABLE paymux_jobs (
    tenant      TEXT    NOT NULL,
    queue       TEXT    NOT NULL,
    row_kind    TEXT    NOT NULL,
    row_id      BLOB    NOT NULL,
    child       BLOB    NOT NULL,
    due         INTEGER NOT NULL,
    epoch       INTEGER NOT NULL,
    put_at      INTEGER NOT NULL,
    claimed_due INTEGER,
    PRIMARY KEY (tenant, queue, row_kind, row_id, child)
) STRICT, WITHOUT ROWID;

CREATE INDEX paymux_jobs_due ON paymux_jobs (queue, due);

-- `at` is when the commit was made; without one, the commit was declared absent and may not be made any more.
CREATE TABLE paymux_commits (
    commit_id BLOB NOT NULL,
    tenant    TEXT NOT NULL,
    at        INTEGER,
    PRIMARY KEY (commit_id, tenant)
) STRICT, WITHOUT ROWID;

-- Commit ids of before this time may have been purged.
CREATE TABLE paymux_horizon (
    one            INTEGER PRIMARY KEY CHECK (one = 1),
    commits_before INTEGER NOT NULL
) STRICT;

INSERT INTO paymux_horizon (one, commits_before) VALUES (1, -9223372036854775808);
