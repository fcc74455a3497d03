//! Whose intent is it, and does that process still live?

use std::process::{Command, Stdio};

use om_control::owner::{Owner, is_alive};
use om_model::control::{Intent, PendingIntent};
use om_model::health::TransportMode;
use om_model::{Timestamp, TraceId};

use crate::support::{loop_id, settings};

/// An entry of another process of this machine.
pub(crate) fn entry_of(pid: u32, process_start: Option<u64>) -> PendingIntent {
    let here = Owner::current();
    PendingIntent {
        control_id: format!("c-{pid}"),
        started_at: Timestamp::from_epoch_seconds(1_000_000),
        loop_id: loop_id(),
        intent: Intent::Cancel,
        transport: TransportMode::Local,
        trace_id: TraceId::new("tr").expect("not empty"),
        idempotency_key: "k".to_owned(),
        requested_by: "dana".to_owned(),
        note: None,
        request: settings(),
        command: "superloop.sh cancel".to_owned(),
        host: here.host.clone(),
        boot_id: here.boot_id.clone(),
        pid,
        process_start,
        ended: false,
    }
}

fn soon() -> Timestamp {
    Timestamp::from_epoch_seconds(1_000_060)
}

/// As the system tells it: field 22, in clock ticks since boot.
fn start_of(pid: u32) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).expect("a process");
    let (_, fields) = text.rsplit_once(')').expect("a name");
    let field = fields.split_whitespace().nth(19).expect("a start");
    field.parse().expect("a number")
}

#[test]
fn a_process_that_lives_is_alive_and_a_reused_id_is_not() {
    let mut child = Command::new("sleep").arg("600").spawn().expect("sleep");
    let pid = child.id();
    let start = start_of(pid);
    assert!(is_alive(&entry_of(pid, Some(start)), soon()));
    assert!(
        is_alive(&entry_of(pid, None), soon()),
        "written without a start"
    );
    assert!(!is_alive(&entry_of(pid, Some(start + 1)), soon()));
    let other_boot = PendingIntent {
        boot_id: "earlier".to_owned(),
        ..entry_of(pid, Some(start))
    };
    assert!(!is_alive(&other_boot, soon()));
    child.kill().expect("killed");
    child.wait().expect("gone");
    assert!(!is_alive(&entry_of(pid, Some(start)), soon()));
}

#[test]
fn a_process_that_nobody_has_waited_for_yet_is_gone() {
    let mut child = Command::new("sh")
        .args(["-c", "exit 0"])
        .stdout(Stdio::piped())
        .spawn()
        .expect("sh");
    let stat = format!("/proc/{}/stat", child.id());
    while !std::fs::read_to_string(&stat)
        .expect("unwaited")
        .contains(") Z ")
    {
        std::thread::yield_now();
    }
    assert!(!is_alive(&entry_of(child.id(), None), soon()));
    child.wait().expect("gone");
}

#[test]
fn an_entry_of_this_process_is_alive_only_while_it_is_in_progress() {
    let here = Owner::current();
    assert!(!is_alive(&entry_of(here.pid, here.process_start), soon()));
}

#[test]
fn an_entry_of_another_machine_is_given_two_hours() {
    let entry = PendingIntent {
        host: "elsewhere".to_owned(),
        boot_id: "its own".to_owned(),
        ..entry_of(1, None)
    };
    assert!(is_alive(&entry, soon()));
    assert!(!is_alive(&entry, Timestamp::from_epoch_seconds(1_007_200)));
}
