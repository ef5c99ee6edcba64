-- Times are milliseconds since 1970; a tenant is `{mode}/{merchant}`. Text is compared by its bytes (COLLATE "C"), so
-- that no update of the system's collations can break an index.
-- Every table starts with `paymux_`, since the host may keep tables of its own in the same schema.
-- Keys start with the tenant and end in identifiers that grow with time, so that new rows go to the end of an index
-- however many there are.

-- Version 0 is no row, but the place of one that a commit needed to be absent.
CREATE TABLE paymux_rows (
    tenant          TEXT   COLLATE "C" NOT NULL,
    kind            TEXT   COLLATE "C" NOT NULL,
    id              UUID   NOT NULL,
    version         BIGINT NOT NULL,
    schema          BIGINT NOT NULL,
    status          TEXT   COLLATE "C" NOT NULL,
    customer        TEXT   COLLATE "C",
    reference       TEXT   COLLATE "C",
    parent_kind     TEXT   COLLATE "C",
    parent_id       UUID,
    attention       TEXT   COLLATE "C" NOT NULL,
    attention_since BIGINT,
    created_at      BIGINT NOT NULL,
    updated_at      BIGINT NOT NULL,
    body            BYTEA  NOT NULL,
    PRIMARY KEY (tenant, kind, id)
);

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
    owner       TEXT   COLLATE "C" NOT NULL,
    scope       TEXT   COLLATE "C" NOT NULL,
    name        TEXT   COLLATE "C" NOT NULL,
    tenant      TEXT   COLLATE "C" NOT NULL,
    target_kind TEXT   COLLATE "C",
    target_id   UUID,
    bytes       BYTEA  NOT NULL,
    expires_at  BIGINT,
    PRIMARY KEY (owner, scope, name)
);

CREATE INDEX paymux_uniques_expiry ON paymux_uniques (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE paymux_events (
    tenant   TEXT   COLLATE "C" NOT NULL,
    row_kind TEXT   COLLATE "C" NOT NULL,
    row_id   UUID   NOT NULL,
    sequence BIGINT NOT NULL,
    id       UUID   NOT NULL,
    at       BIGINT NOT NULL,
    kind     TEXT   COLLATE "C" NOT NULL,
    schema   BIGINT NOT NULL,
    body     BYTEA  NOT NULL,
    PRIMARY KEY (tenant, row_kind, row_id, sequence)
);

CREATE INDEX paymux_events_at ON paymux_events (at);

CREATE TABLE paymux_jobs (
    tenant   TEXT   COLLATE "C" NOT NULL,
    queue    TEXT   COLLATE "C" NOT NULL,
    row_kind TEXT   COLLATE "C" NOT NULL,
    row_id   UUID   NOT NULL,
    child    UUID   NOT NULL,
    due      BIGINT NOT NULL,
    epoch    BIGINT NOT NULL,
    put_at   BIGINT NOT NULL,
    PRIMARY KEY (tenant, queue, row_kind, row_id, child)
);

CREATE INDEX paymux_jobs_due ON paymux_jobs (queue, due);

-- `at` is when the commit was made; without one, the commit was declared absent and may not be made any more.
CREATE TABLE paymux_commits (
    commit_id UUID   NOT NULL,
    tenant    TEXT   COLLATE "C" NOT NULL,
    at        BIGINT,
    PRIMARY KEY (commit_id, tenant)
);

-- Commit ids of before this time may have been purged.
CREATE TABLE paymux_horizon (
    one            BIGINT PRIMARY KEY CHECK (one = 1),
    commits_before BIGINT NOT NULL
);

INSERT INTO paymux_horizon (one, commits_before) VALUES (1, -9223372036854775808);
