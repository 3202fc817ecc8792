//! Locks that several hold at once: those who read what somebody else may want to replace, or ask who has it.

use rustix::fs::FlockOperation;

use super::{Held, Holder, LockError, LockOn, Locks, TRIES, TRY_AGAIN, read_holder, try_flock};

impl Locks {
    /// Takes the lock together with all others who only read, or says who writes, and so has it alone.
    pub fn try_share(&self, on: &LockOn) -> Result<Held, LockError> {
        let (mut file, path) = self.open(on)?;
        let io = |deed| {
            let path = path.clone();
            move |source| LockError::Io { deed, path, source }
        };
        for _ in 0..TRIES {
            if try_flock(&file, FlockOperation::NonBlockingLockShared).map_err(io("lock"))? {
                // What a holder left that was killed must not be told of those who read.
                file.set_len(0).map_err(io("write"))?;
                return Ok(Held { file, removed: None });
            }
            std::thread::sleep(TRY_AGAIN);
        }
        let holder = read_holder(&mut file).map_err(io("read"))?;
        Err(LockError::Busy { on: Box::new(on.clone()), holder })
    }

    /// Who has it alone now, if anybody has who has said so.
    pub fn holder(&self, on: &LockOn) -> Result<Option<Holder>, LockError> {
        let (mut file, path) = self.open(on)?;
        let io = |deed, source| LockError::Io { deed, path: path.clone(), source };
        // Shared, so that two who ask at once do not see each other; closing the file lets go.
        match try_flock(&file, FlockOperation::NonBlockingLockShared).map_err(|e| io("lock", e))? {
            true => Ok(None),
            false => read_holder(&mut file).map_err(|e| io("read", e)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::Verb;

    #[test]
    fn many_may_read_and_one_may_write() {
        let dir = tempfile::tempdir().unwrap();
        let (locks, on) = (Locks::new(dir.path()), LockOn::Volume("db".to_owned()));
        let holder = Holder {
            run: "1111111111111111".parse().unwrap(),
            pid: 1,
            verb: Verb::Restore,
            since: "2026-11-21T02:00:00Z".parse().unwrap(),
        };
        let readers = [locks.try_share(&on).unwrap(), locks.try_share(&on).unwrap()];
        let busy = locks.try_lock(&on, &holder).unwrap_err();
        assert_eq!(busy.to_string(), "`volume db` is locked");
        drop(readers);
        assert_eq!(locks.holder(&on).unwrap(), None, "those who share have said nothing");
        let writer = locks.try_lock(&on, &holder).unwrap();
        assert_eq!(locks.holder(&on).unwrap(), Some(holder));
        let busy = locks.try_share(&on).unwrap_err();
        assert!(busy.to_string().starts_with("`volume db` is locked by restore run `1111111111111111`"));
        drop(writer);
        drop(locks.try_share(&on).unwrap());
    }
}
