//! A disk that fills up under an open store, and has room again later.

use std::fs::{self, File};
use std::io::Write as _;

use keyward::store::backend::{Backend as _, CommitError};

use crate::backend::{BackendSubject, batch, open};
use crate::disk::Disk;
use crate::subject::Subject as _;

const DISK_BYTES: u64 = 128 << 20;

pub(crate) fn run() -> Result<(), String> {
    let disk = match Disk::new(DISK_BYTES) {
        Ok(disk) => disk,
        Err(reason) => {
            println!("crash: full disk not run: {reason}");
            return Ok(());
        }
    };
    let dir = disk.mount_point().join("store");
    let filler = disk.mount_point().join("filler");
    let store = open(&dir)?;
    let mut refusals = 0;
    for _ in 0..3 {
        for _ in 0..80 {
            commit(&*store)?;
        }
        fill(&filler);
        while commit(&*store).is_ok() {}
        let durable = store.revision();
        refusals += 1;
        for _ in 0..3 {
            let sticky = store.commit(&batch(durable.next()));
            if !matches!(sticky, Err(CommitError::Unavailable(_))) || store.reopen().is_ok() {
                return Err("a full disk was not noticed".into());
            }
            store
                .get(b"row/0001")
                .map_err(|fault| format!("not read while the disk is full: {fault}"))?;
        }
        fs::remove_file(&filler).map_err(|error| error.to_string())?;
        store
            .reopen()
            .map_err(|fault| format!("not opened although there is room again: {fault}"))?;
        if store.revision() < durable {
            return Err(format!(
                "{durable:?} was durable, and {:?} is left",
                store.revision()
            ));
        }
        commit(&*store)?;
    }
    let newest = store.revision().0;
    drop(store);
    // Whether it opens without any room is sled's affair; it must not do harm.
    fill(&filler);
    let _opened = open(&dir);
    fs::remove_file(&filler).map_err(|error| error.to_string())?;
    BackendSubject::default().verify(&dir, newest..=newest)?;
    println!("crash: {refusals} full disks; {newest} changes, none lost");
    Ok(())
}

fn commit(store: &impl keyward::store::backend::Backend) -> Result<(), String> {
    let result = store.commit(&batch(store.revision().next()));
    result.map_err(|error| format!("{error:?}"))
}

/// Takes what room is left.
fn fill(path: &std::path::Path) {
    let mut file = File::create(path).expect("there is room for a name");
    for size in [1 << 20, 4096, 1] {
        let block = vec![7; size];
        while file.write_all(&block).is_ok() {}
    }
    let _full = file.sync_all();
}
