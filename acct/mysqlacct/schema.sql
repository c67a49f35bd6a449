-- The tables acc, version 7, missed_calls, version 5, and dialog, version 12, of
-- OpenSIPS 3.6, the first two with wider texts and columns for both URIs, and the
-- table of versions.

CREATE TABLE IF NOT EXISTS version (
    table_name    CHAR(32)     NOT NULL,
    table_version INT UNSIGNED NOT NULL DEFAULT 0,
    UNIQUE KEY t_name_idx (table_name)
) ENGINE = InnoDB;

INSERT INTO version (table_name, table_version)
    SELECT 'acc', 7 FROM DUAL
    WHERE NOT EXISTS (SELECT 1 FROM version WHERE table_name = 'acc');

INSERT INTO version (table_name, table_version)
    SELECT 'missed_calls', 5 FROM DUAL
    WHERE NOT EXISTS (SELECT 1 FROM version WHERE table_name = 'missed_calls');

INSERT INTO version (table_name, table_version)
    SELECT 'dialog', 12 FROM DUAL
    WHERE NOT EXISTS (SELECT 1 FROM version WHERE table_name = 'dialog');

CREATE TABLE IF NOT EXISTS acc (
    id          INT UNSIGNED NOT NULL AUTO_INCREMENT,
    method      CHAR(16)     NOT NULL DEFAULT '',
    from_tag    CHAR(128)    NOT NULL DEFAULT '',
    to_tag      CHAR(128)    NOT NULL DEFAULT '',
    from_uri    VARCHAR(255) DEFAULT NULL,
    to_uri      VARCHAR(255) DEFAULT NULL,
    callid      CHAR(255)    NOT NULL DEFAULT '',
    sip_code    CHAR(3)      NOT NULL DEFAULT '',
    sip_reason  CHAR(128)    NOT NULL DEFAULT '',
    time        DATETIME     NOT NULL,
    duration    INT UNSIGNED NOT NULL DEFAULT 0,
    ms_duration INT UNSIGNED NOT NULL DEFAULT 0,
    setuptime   INT UNSIGNED NOT NULL DEFAULT 0,
    created     DATETIME     DEFAULT NULL,
    PRIMARY KEY (id),
    KEY callid_idx (callid)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS missed_calls (
    id          INT UNSIGNED NOT NULL AUTO_INCREMENT,
    method      CHAR(16)     NOT NULL DEFAULT '',
    from_tag    CHAR(128)    NOT NULL DEFAULT '',
    to_tag      CHAR(128)    NOT NULL DEFAULT '',
    from_uri    VARCHAR(255) DEFAULT NULL,
    to_uri      VARCHAR(255) DEFAULT NULL,
    callid      CHAR(255)    NOT NULL DEFAULT '',
    sip_code    CHAR(3)      NOT NULL DEFAULT '',
    sip_reason  CHAR(128)    NOT NULL DEFAULT '',
    time        DATETIME     NOT NULL,
    setuptime   INT UNSIGNED NOT NULL DEFAULT 0,
    created     DATETIME     DEFAULT NULL,
    PRIMARY KEY (id),
    KEY callid_idx (callid)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;

CREATE TABLE IF NOT EXISTS dialog (
    dlg_id             BIGINT UNSIGNED NOT NULL,
    callid             CHAR(255)       NOT NULL,
    from_uri           CHAR(255)       NOT NULL,
    from_tag           CHAR(64)        NOT NULL,
    to_uri             CHAR(255)       NOT NULL,
    to_tag             CHAR(64)        NOT NULL,
    mangled_from_uri   CHAR(255)       DEFAULT NULL,
    mangled_to_uri     CHAR(255)       DEFAULT NULL,
    caller_cseq        CHAR(11)        NOT NULL,
    callee_cseq        CHAR(11)        NOT NULL,
    caller_ping_cseq   INT UNSIGNED    NOT NULL,
    callee_ping_cseq   INT UNSIGNED    NOT NULL,
    caller_route_set   TEXT(512)       DEFAULT NULL,
    callee_route_set   TEXT(512)       DEFAULT NULL,
    caller_contact     CHAR(255)       DEFAULT NULL,
    callee_contact     CHAR(255)       DEFAULT NULL,
    caller_sock        CHAR(64)        NOT NULL,
    callee_sock        CHAR(64)        NOT NULL,
    state              INT UNSIGNED    NOT NULL,
    start_time         INT UNSIGNED    NOT NULL,
    timeout            INT UNSIGNED    NOT NULL,
    vars               BLOB(4096)      DEFAULT NULL,
    profiles           TEXT(512)       DEFAULT NULL,
    script_flags       CHAR(255)       DEFAULT NULL,
    module_flags       INT UNSIGNED    NOT NULL DEFAULT 0,
    flags              INT UNSIGNED    NOT NULL DEFAULT 0,
    rt_on_answer       CHAR(64)        DEFAULT NULL,
    rt_on_timeout      CHAR(64)        DEFAULT NULL,
    rt_on_hangup       CHAR(64)        DEFAULT NULL,
    PRIMARY KEY (dlg_id)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;
