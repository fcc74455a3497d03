//! Executions of this process that are under way, and who waits for them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use om_model::LoopId;
use om_model::control::Intent;
use tokio::sync::watch;

use super::document::Stored;

/// Which key of which loop.
type Name = (LoopId, String);

/// The executions that are under way.
#[derive(Clone, Debug, Default)]
pub(crate) struct Flights(Arc<Mutex<HashMap<Name, Underway>>>);

#[derive(Debug)]
struct Underway {
    intent: Intent,
    /// Whether the record agrees with `intent`. Until its leader has looked,
    /// nobody may be refused because of it.
    decided: watch::Receiver<bool>,
    landed: watch::Receiver<Option<Stored>>,
}

/// What a request is, with respect to the others of its key.
#[derive(Debug)]
pub(crate) enum Boarding {
    /// The first: it decides.
    Lead(Flight),
    /// A repetition of what is under way, or of what is not decided yet.
    Follow(Follower),
    /// Another intent is under way, and recorded.
    Conflict(Intent),
}

impl Flights {
    /// Joins what is under way for `key`, or leads it.
    pub(crate) fn board(&self, loop_id: &LoopId, key: &str, intent: Intent) -> Boarding {
        let name = (loop_id.clone(), key.to_owned());
        let mut flights = self.lock();
        match flights.get(&name) {
            Some(other) if other.intent != intent && *other.decided.borrow() => {
                Boarding::Conflict(other.intent)
            }
            Some(underway) => Boarding::Follow(Follower {
                intent: underway.intent,
                decided: underway.decided.clone(),
                landed: underway.landed.clone(),
            }),
            None => {
                let (land, landed) = watch::channel(None);
                let (decide, decided) = watch::channel(false);
                let underway = Underway {
                    intent,
                    decided,
                    landed,
                };
                flights.insert(name.clone(), underway);
                drop(flights);
                Boarding::Lead(Flight {
                    flights: self.clone(),
                    name,
                    decided: decide,
                    land,
                })
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Name, Underway>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One execution under way; over when dropped.
#[derive(Debug)]
pub(crate) struct Flight {
    flights: Flights,
    name: Name,
    decided: watch::Sender<bool>,
    land: watch::Sender<Option<Stored>>,
}

impl Flight {
    /// The record does not speak against this flight's intent: from now on
    /// requests with another one are refused.
    pub(crate) fn decide(&self) {
        self.decided.send_replace(true);
    }

    /// The answer that the followers get. Without it they look for
    /// themselves.
    pub(crate) fn land(self, answer: Stored) {
        self.land.send_replace(Some(answer));
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        self.flights.lock().remove(&self.name);
    }
}

/// A repetition of what is under way.
#[derive(Debug)]
pub(crate) struct Follower {
    intent: Intent,
    decided: watch::Receiver<bool>,
    landed: watch::Receiver<Option<Stored>>,
}

impl Follower {
    /// Whether what is under way, but not decided yet, is another intent.
    pub(crate) fn is_of_another(&self, intent: Intent) -> bool {
        self.intent != intent
    }

    /// Waits until the leader has looked at the record, or is done.
    pub(crate) async fn decision(mut self) {
        // An error means that it is over.
        let _ = self.decided.wait_for(|decided| *decided).await;
    }

    /// Waits for the end; the answer, if there is one.
    pub(crate) async fn landing(mut self) -> Option<Stored> {
        // An error means that it is over; there may be an answer even so.
        let _ = self.landed.changed().await;
        self.landed.borrow().clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn loop_id(text: &str) -> LoopId {
        LoopId::new(text).expect("a good id")
    }

    #[test]
    fn one_request_leads_and_its_repetitions_follow() {
        let flights = Flights::default();
        let board = |id, key, intent| flights.board(&loop_id(id), key, intent);
        let Boarding::Lead(flight) = board("a", "k", Intent::Cancel) else {
            panic!("nobody else is there")
        };
        assert!(matches!(
            board("a", "k", Intent::Cancel),
            Boarding::Follow(_)
        ));
        let Boarding::Follow(undecided) = board("a", "k", Intent::Reject) else {
            panic!("the leader has not looked at the record yet")
        };
        assert!(undecided.is_of_another(Intent::Reject));
        flight.decide();
        assert!(matches!(
            board("a", "k", Intent::Reject),
            Boarding::Conflict(Intent::Cancel)
        ));
        assert!(matches!(board("b", "k", Intent::Reject), Boarding::Lead(_)));
        assert!(matches!(board("a", "l", Intent::Reject), Boarding::Lead(_)));
        drop(flight);
        assert!(matches!(board("a", "k", Intent::Cancel), Boarding::Lead(_)));
    }

    #[tokio::test]
    async fn a_follower_of_a_flight_without_an_answer_is_not_left_waiting() {
        let flights = Flights::default();
        let board = || flights.board(&loop_id("a"), "k", Intent::Cancel);
        let (Boarding::Lead(flight), Boarding::Follow(follower)) = (board(), board()) else {
            panic!("one leads, one follows")
        };
        drop(flight);
        assert_eq!(follower.landing().await, None);
    }
}
