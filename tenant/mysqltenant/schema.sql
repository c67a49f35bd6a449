-- The domain table of OpenSIPS 3.6, version 4, with the column setid that has
-- the dispatcher set of a domain, and the table of versions.

CREATE TABLE IF NOT EXISTS version (
    table_name    CHAR(32)     NOT NULL,
    table_version INT UNSIGNED NOT NULL DEFAULT 0,
    UNIQUE KEY t_name_idx (table_name)
) ENGINE = InnoDB;

INSERT INTO version (table_name, table_version)
    SELECT 'domain', 4 FROM DUAL
    WHERE NOT EXISTS (SELECT 1 FROM version WHERE table_name = 'domain');

CREATE TABLE IF NOT EXISTS domain (
    id               INT UNSIGNED NOT NULL AUTO_INCREMENT,
    domain           CHAR(64)     NOT NULL DEFAULT '',
    attrs            CHAR(255)    DEFAULT NULL,
    accept_subdomain INT UNSIGNED NOT NULL DEFAULT 0,
    last_modified    DATETIME     NOT NULL DEFAULT '1900-01-01 00:00:01',
    setid            INT          NOT NULL DEFAULT 0,
    PRIMARY KEY (id),
    UNIQUE KEY domain_idx (domain),
    KEY sipward_setid (setid)
) ENGINE = InnoDB DEFAULT CHARACTER SET = utf8mb4 COLLATE = utf8mb4_general_ci;
