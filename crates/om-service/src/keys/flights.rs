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
    landed: watch::Receiver<Option<Stored>>,
}

/// What a request is, with respect to the others of its key.
#[derive(Debug)]
pub(crate) enum Boarding {
    /// The first: it decides.
    Lead(Flight),
    /// A repetition of what is under way.
    Follow(Follower),
    /// Another intent is under way.
    Conflict(Intent),
}

impl Flights {
    /// Joins what is under way for `key`, or leads it.
    pub(crate) fn board(&self, loop_id: &LoopId, key: &str, intent: Intent) -> Boarding {
        let name = (loop_id.clone(), key.to_owned());
        let mut flights = self.lock();
        match flights.get(&name) {
            Some(underway) if underway.intent == intent => {
                Boarding::Follow(Follower(underway.landed.clone()))
            }
            Some(underway) => Boarding::Conflict(underway.intent),
            None => {
                let (land, landed) = watch::channel(None);
                flights.insert(name.clone(), Underway { intent, landed });
                drop(flights);
                Boarding::Lead(Flight {
                    flights: self.clone(),
                    name,
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
    land: watch::Sender<Option<Stored>>,
}

impl Flight {
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
pub(crate) struct Follower(watch::Receiver<Option<Stored>>);

impl Follower {
    /// Waits for the end; the answer, if there is one.
    pub(crate) async fn landing(mut self) -> Option<Stored> {
        // An error means that it is over; there may be an answer even so.
        let _ = self.0.changed().await;
        self.0.borrow().clone()
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
