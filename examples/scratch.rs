use keyward::store::{backend::*, sled::*};
use std::{path::Path, sync::Arc, time::Instant};
fn main() {
    let dir = std::env::args().nth(1).unwrap();
    let dir = Path::new(&dir);
    let n: u64 = std::env::args().nth(2).unwrap().parse().unwrap();
    let t = Instant::now();
    let store = SledBackend::open(dir, Options::default()).unwrap();
    println!("open {:?} rev {:?}", t.elapsed(), store.store().revision());
    let t = Instant::now();
    let store = store.accept();
    println!("accept {:?}", t.elapsed());
    let t = Instant::now();
    let mut x = 88172645463325252u64;
    let rows = n / 1;
    let per = 64;
    let start = store.revision().0;
    for c in 0..rows / per {
        let mut w = std::collections::BTreeMap::new();
        for _ in 0..per {
            x ^= x << 13;
            x ^= x >> 7;
            x ^= x << 17;
            w.insert(
                Key::from(format!("t/{x:022}").as_bytes()),
                Some(Arc::from(vec![(x & 255) as u8; 300])),
            );
        }
        store
            .commit(&Batch {
                revision: Revision(start + c + 1),
                checks: vec![],
                writes: w.into_iter().collect(),
            })
            .unwrap();
    }
    println!("loaded {} in {:?}", rows, t.elapsed());
    let t = Instant::now();
    let start = store.revision().0;
    for c in 0..500u64 {
        store
            .commit(&Batch {
                revision: Revision(start + c + 1),
                checks: vec![],
                writes: vec![(Key::from(*b"single"), Some(Arc::from(vec![1; 300])))],
            })
            .unwrap();
    }
    println!("500 single commits {:?}", t.elapsed());
    let t = Instant::now();
    let mut after: Option<Key> = None;
    let mut count = 0;
    loop {
        let page = store
            .scan(Range {
                prefix: b"t/",
                after: after.as_deref(),
                direction: Direction::Forward,
                limit: 1000,
            })
            .unwrap();
        if page.is_empty() {
            break;
        }
        count += page.len();
        after = page.last().map(|p| p.0.clone());
    }
    println!("scan {count} in {:?}", t.elapsed());
}
