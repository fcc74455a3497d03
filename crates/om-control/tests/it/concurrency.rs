//! Several controls of one loop at once.

use std::collections::BTreeSet;
use std::thread;

use om_control::{ControlRequest, SystemClock, Transport, run};
use om_model::control::Intent;

use crate::support::Repo;

#[test]
fn controls_at_once_all_act_and_are_all_recorded() {
    const AT_ONCE: usize = 8;
    let repo = Repo::new();
    // Every call waits until all are there: nothing may hold them apart.
    let meet = format!(
        r#"mkdir -p "$repo/met"; : > "$repo/met/$$"
while [ "$(ls "$repo/met" | wc -l)" -lt {AT_ONCE} ]; do sleep 0.02; done"#
    );
    let local = repo.runtime(&meet);
    let request = |n: usize| ControlRequest {
        idempotency_key: None,
        ..repo.request(Intent::ALL[n % 3])
    };
    thread::scope(|scope| {
        for n in 0..AT_ONCE {
            let (request, local) = (request(n), &local);
            scope.spawn(move || {
                let clock = SystemClock::default();
                run(&request, Transport::Local(local), &clock, &mut |_| {}).expect("an outcome");
            });
        }
    });
    for rows in repo.all_rows() {
        assert_eq!(rows.len(), AT_ONCE);
        let keys: BTreeSet<String> = rows
            .iter()
            .map(|row| row["idempotencyKey"].to_string())
            .collect();
        assert_eq!(keys.len(), AT_ONCE, "every key is its own");
    }
    assert!(repo.pending().is_empty());
}
