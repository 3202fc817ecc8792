//! MariaDB: `mariadb-check --extended`, accounts whose sum stays, and a whole logical dump.

use std::io;

use super::container::{Container, Said};
use super::ledger::Ledger;
use super::{Client, Server, Spoil, Verdict};

/// See the module.
#[derive(Debug, Clone, Copy)]
pub struct Mariadb {
    /// Rows of its table of accounts, 300 bytes each.
    pub rows: u32,
    /// Further arguments of the server.
    pub more: &'static [&'static str],
}

/// The password of `root`, which only the container's environment and its clients know.
const WITH_PASSWORD: &str = "MARIADB_ROOT_PASSWORD=test-password-7";

/// Every client takes the password from there.
const AS_ROOT: &str = "export MYSQL_PWD=\"$MARIADB_ROOT_PASSWORD\";";

/// Two rows a transaction, always in the same order, so that nobody waits in a circle.
const CHURN: &str = "CREATE PROCEDURE backupd.churn(many INT)
BEGIN
  DECLARE a INT; DECLARE b INT;
  LOOP
    SET a = FLOOR(1 + RAND() * many), b = FLOOR(1 + RAND() * many);
    IF a <> b THEN
      START TRANSACTION;
      UPDATE backupd.accounts SET balance = balance - 1, about = MD5(RAND()) WHERE id = LEAST(a, b);
      UPDATE backupd.accounts SET balance = balance + 1, about = MD5(RAND()) WHERE id = GREATEST(a, b);
      COMMIT;
    END IF;
  END LOOP;
END";

impl Server for Mariadb {
    fn image(&self) -> &'static str {
        "mariadb"
    }

    fn at(&self) -> &'static str {
        "/var/lib/mysql"
    }

    /// Small memory and a small log, so that pages are written all the time.
    fn arguments(&self) -> Vec<String> {
        let settings = ["--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--skip-networking"];
        settings.iter().chain(self.more).map(|&word| word.to_owned()).collect()
    }

    fn environment(&self) -> Vec<String> {
        vec![WITH_PASSWORD.to_owned()]
    }

    fn serves(&self) -> &'static str {
        "MYSQL_PWD=\"$MARIADB_ROOT_PASSWORD\" mariadb -uroot -e 'SELECT 1' >/dev/null"
    }

    fn load(&self, container: &Container) -> io::Result<()> {
        let rows = self.rows;
        let text = format!(
            "CREATE DATABASE backupd CHARACTER SET utf8mb4;
             USE backupd;
             CREATE TABLE backupd.numbers (n BIGINT PRIMARY KEY, text TEXT NOT NULL) ENGINE=InnoDB;
             CREATE TABLE backupd.accounts (id INT PRIMARY KEY, balance BIGINT NOT NULL, about CHAR(32) NOT NULL,
               filling CHAR(200) NOT NULL, KEY (about)) ENGINE=InnoDB;
             INSERT INTO backupd.accounts SELECT seq, 0, MD5(seq), REPEAT('x', 200) FROM seq_1_to_{rows};
             DELIMITER //
             {CHURN}//
             DELIMITER ;\n"
        );
        let said = container.exec(&["bash", "-c", &format!("{AS_ROOT} exec mariadb -uroot")], &text)?;
        said.good("fill the tables").map(drop)
    }

    fn client(&self) -> Client {
        let line = format!("{AS_ROOT} exec mariadb -uroot -N -B -n");
        Client {
            argv: ["bash", "-c", &line].map(str::to_owned).to_vec(),
            say: |n| format!("INSERT INTO backupd.numbers VALUES ({n}, REPEAT(MD5({n}), 10)); SELECT {n};\n"),
            lines: 1,
            heard: |line, n| line == n.to_string(),
            pace: 0,
        }
    }

    fn noise(&self) -> Option<String> {
        let rows = self.rows;
        Some(format!("{AS_ROOT} exec mariadb -uroot -e 'CALL backupd.churn({rows})'"))
    }

    /// One that is locked for a backup does not commit.
    fn untouched(&self) -> &'static str {
        "MYSQL_PWD=\"$MARIADB_ROOT_PASSWORD\" timeout 5 mariadb -uroot -e \
         'BACKUP STAGE START; BACKUP STAGE BLOCK_COMMIT; BACKUP STAGE END'"
    }

    fn check(&self, container: &Container, ledger: &Ledger) -> io::Result<Verdict> {
        let check =
            container.shell(&format!("{AS_ROOT} exec mariadb-check -uroot --all-databases --extended"))?;
        // Its status is good whatever it finds: each table is a line that ends with its verdict.
        let bad: Vec<&str> = check.stdout.lines().filter(|line| !line.ends_with(" OK")).collect();
        if check.status != 0 || !bad.is_empty() || check.stdout.is_empty() {
            return Ok(Err(format!("mariadb-check: {}{}", bad.join("\n"), check.stderr)));
        }
        for range in ledger.ranges() {
            let (first, last) = (range.start(), range.end());
            let said = sql(
                container,
                &format!(
                    "SELECT COUNT(*) FROM backupd.numbers WHERE n BETWEEN {first} AND {last} AND text = REPEAT(MD5(n), 10)"
                ),
            )?;
            let (found, wanted) = (said.stdout.trim(), last - first + 1);
            if found != wanted.to_string() {
                let why = format!(
                    "{found} of the {wanted} numbers from {first} to {last} are there{}",
                    said.stderr
                );
                return Ok(Err(why));
            }
        }
        let sums = sql(container, "SELECT SUM(balance), COUNT(*) FROM backupd.accounts")?;
        if sums.stdout.trim() != format!("0\t{}", self.rows) {
            return Ok(Err(format!("the sum of its accounts: {sums:?}")));
        }
        let dump = container.shell(&format!(
            "set -o pipefail; {AS_ROOT} mariadb-dump -uroot --all-databases --single-transaction --routines | \
             tail -n 1 | grep -q 'Dump completed'"
        ))?;
        Ok(dump.verdict("mariadb-dump"))
    }

    fn spoil(&self) -> Spoil {
        Spoil { file: "echo backupd/accounts.ibd", at: 5 * 16384 }
    }
}

fn sql(container: &Container, statement: &str) -> io::Result<Said> {
    container.exec(&["bash", "-c", &format!("{AS_ROOT} exec mariadb -uroot -N -B")], statement)
}
