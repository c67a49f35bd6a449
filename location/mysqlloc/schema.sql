-- The location table of OpenSIPS 3.6, version 1013, and the table of versions.
-- Texts compare byte by byte, since SIP users have case.

CREATE TABLE IF NOT EXISTS version (
    table_name    CHAR(32)     NOT NULL,
    table_version INT UNSIGNED NOT NULL DEFAULT 0,
    UNIQUE KEY t_name_idx (table_name)
) ENGINE = InnoDB;

INSERT INTO version (table_name, table_version)
    SELECT 'location', 1013 FROM DUAL
    WHERE NOT EXISTS (SELECT 1 FROM version WHERE table_name = 'location');

CREATE TABLE IF NOT EXISTS location (
    contact_id    BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    username      CHAR(64)        NOT NULL DEFAULT '',
    domain        CHAR(64)        DEFAULT NULL,
    contact       TEXT            NOT NULL,
    received      CHAR(255)       DEFAULT NULL,
    path          CHAR(255)       DEFAULT NULL,
    expires       INT UNSIGNED    NOT NULL,
    q             FLOAT(10,2)     NOT NULL DEFAULT 1.0,
    callid        CHAR(255)       NOT NULL DEFAULT 'Default-Call-ID',
    cseq          INT             NOT NULL DEFAULT 13,
    last_modified DATETIME        NOT NULL DEFAULT '1900-01-01 00:00:01',
    flags         INT             NOT NULL DEFAULT 0,
    cflags        CHAR(255)       DEFAULT NULL,
    user_agent    CHAR(255)       NOT NULL DEFAULT '',
    socket        CHAR(64)        DEFAULT NULL,
    methods       INT             DEFAULT NULL,
    sip_instance  CHAR(255)       DEFAULT NULL,
    kv_store      TEXT(512)       DEFAULT NULL,
    attr          CHAR(255)       DEFAULT NULL,
    PRIMARY KEY (contact_id),
    KEY sipward_aor (domain, username),
    KEY sipward_expires (expires)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;
