//! A topic's id says who may publish on it.

use super::*;

fn id(secret: Option<u8>, policy: Option<TopicPolicy>) -> TopicId {
    let secret = secret.map(|n| TopicSecret::from_bytes([n; 32]));
    TopicTerms { secret, policy: policy.map(Arc::new) }.topic("council").unwrap()
}

fn policy(owner: Option<u8>, publishers: &[u8]) -> TopicPolicy {
    TopicPolicy::new(owner.map(agent), publishers.iter().map(|n| agent(*n))).unwrap()
}

#[test]
fn without_a_policy_it_is_what_it_always_was() {
    assert_eq!(id(None, None), TopicId::from_name("council").unwrap());
    assert_eq!(id(Some(1), None), TopicSecret::from_bytes([1; 32]).topic("council").unwrap());
}

#[test]
fn every_part_of_the_policy_is_in_it() {
    let mut all = vec![id(None, None), id(Some(1), None)];
    for secret in [None, Some(1), Some(2)] {
        for (owner, publishers) in [
            (Some(60), &[][..]),
            (Some(61), &[]),
            (None, &[60]),
            (None, &[62]),
            (Some(60), &[61]),
            (Some(60), &[62]),
            (Some(60), &[61, 62]),
            (None, &[61, 62]),
        ] {
            all.push(id(secret, Some(policy(owner, publishers))));
        }
    }
    let distinct: std::collections::BTreeSet<_> = all.iter().collect();
    assert_eq!(distinct.len(), all.len());
}

#[test]
fn the_order_of_a_list_does_not_matter() {
    assert_eq!(policy(None, &[1, 2, 3]), policy(None, &[3, 1, 2, 1]));
}

#[test]
fn a_policy_lets_somebody_publish_and_not_too_many() {
    assert_eq!(TopicPolicy::new(None, []), Err(PolicyError::Nobody));
    let many = |n: u8| TopicPolicy::new(None, (0..n).map(agent));
    assert!(many(64).is_ok());
    assert_eq!(many(65), Err(PolicyError::TooMany(65)));
}

#[test]
fn names_are_bounded_as_without() {
    let terms = owned().0;
    assert_eq!(terms.topic(""), Err(TopicError::Empty));
    assert_eq!(terms.topic(&"x".repeat(256)), Err(TopicError::TooLong(256)));
}
