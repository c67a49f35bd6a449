-- The dispatcher table of OpenSIPS 3.6, version 9, and the table of versions.

CREATE TABLE IF NOT EXISTS version (
    table_name    CHAR(32)     NOT NULL,
    table_version INT UNSIGNED NOT NULL DEFAULT 0,
    UNIQUE KEY t_name_idx (table_name)
) ENGINE = InnoDB;

INSERT INTO version (table_name, table_version)
    SELECT 'dispatcher', 9 FROM DUAL
    WHERE NOT EXISTS (SELECT 1 FROM version WHERE table_name = 'dispatcher');

CREATE TABLE IF NOT EXISTS dispatcher (
    id          INT UNSIGNED NOT NULL AUTO_INCREMENT,
    setid       INT          NOT NULL DEFAULT 0,
    destination CHAR(192)    NOT NULL DEFAULT '',
    socket      CHAR(128)    DEFAULT NULL,
    state       INT          NOT NULL DEFAULT 0,
    probe_mode  INT UNSIGNED NOT NULL DEFAULT 0,
    weight      CHAR(64)     NOT NULL DEFAULT '1',
    priority    INT          NOT NULL DEFAULT 0,
    attrs       CHAR(128)    DEFAULT NULL,
    description CHAR(64)     DEFAULT NULL,
    PRIMARY KEY (id),
    KEY sipward_setid (setid)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_bin;
