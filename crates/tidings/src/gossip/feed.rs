//! What happens, told to whoever listens. While nobody does, nothing is kept: the rooms of all feeds together would be half a
//! megabyte a node.

use std::sync::{Arc, Mutex};

use tokio::sync::broadcast;

use crate::sync::lock;

enum State<T> {
    /// Nobody listens.
    Quiet,
    Heard(broadcast::Sender<T>),
    /// Nothing more happens.
    Ended,
}

/// Where listeners come.
pub(crate) struct Feed<T> {
    /// What a listener may lag behind.
    room: usize,
    state: Mutex<State<T>>,
}

impl<T: Clone> Feed<T> {
    /// A feed and its only teller, with whom it ends.
    pub(crate) fn new(room: usize) -> (Arc<Feed<T>>, Teller<T>) {
        let feed = Arc::new(Feed { room, state: Mutex::new(State::Quiet) });
        (feed.clone(), Teller(feed))
    }

    /// Hears everything from now on; none if the feed has ended.
    pub(crate) fn listen(&self) -> Option<broadcast::Receiver<T>> {
        let mut state = lock(&self.state);
        match &*state {
            State::Heard(sender) => Some(sender.subscribe()),
            State::Ended => None,
            State::Quiet => {
                let (sender, receiver) = broadcast::channel(self.room);
                *state = State::Heard(sender);
                Some(receiver)
            }
        }
    }
}

/// Who tells what happens.
pub(crate) struct Teller<T>(Arc<Feed<T>>);

impl<T: Clone> Teller<T> {
    /// Tells everybody who listens.
    pub(crate) fn tell(&self, what: T) {
        let mut state = lock(&self.0.state);
        let left = matches!(&*state, State::Heard(sender) if sender.send(what).is_err());
        if left {
            *state = State::Quiet;
        }
    }
}

impl<T> Drop for Teller<T> {
    fn drop(&mut self) {
        *lock(&self.0.state) = State::Ended;
    }
}

#[cfg(test)]
mod tests {
    use tokio::sync::broadcast::error::TryRecvError;

    use super::*;

    #[test]
    fn a_listener_hears_what_comes_after_it_and_then_the_end() {
        let (feed, teller) = Feed::new(4);
        teller.tell(1);
        let mut first = feed.listen().expect("it goes on");
        teller.tell(2);
        let mut second = feed.listen().expect("it goes on");
        teller.tell(3);
        drop(teller);
        assert_eq!((first.try_recv(), first.try_recv()), (Ok(2), Ok(3)));
        assert_eq!(first.try_recv(), Err(TryRecvError::Closed));
        assert_eq!(second.try_recv(), Ok(3));
        assert!(feed.listen().is_none());
    }

    #[test]
    fn nothing_is_kept_for_nobody() {
        let (feed, teller) = Feed::new(4);
        drop(feed.listen());
        teller.tell(1);
        assert!(matches!(*lock(&feed.state), State::Quiet));
        let mut later = feed.listen().expect("it goes on");
        teller.tell(2);
        assert_eq!(later.try_recv(), Ok(2));
    }
}
