//! Settings: how they are written, which are refused and why, and that each one in force changes what a node does.

mod common;

use std::time::Duration;

use common::*;
use tidings_proto::config::{ConfigError, GossipConfig};
use tidings_proto::io::*;
use tidings_proto::pubsub::{BatchHeader, MAX_MESSAGE};
use tidings_proto::wire::*;

const SECOND: Duration = Duration::from_secs(1);

fn out_of_range(config: GossipConfig) -> (&'static str, String) {
    match config.validate() {
        Err(e @ ConfigError::OutOfRange { field, .. }) => (field, e.to_string()),
        other => panic!("not out of range but {other:?}"),
    }
}

/// One module a field in force: what is accepted, what is refused by name, and how it is written.
macro_rules! in_force {
    ($($field:ident: $least:expr, $most:expr, past $($past:expr),+; $text:literal is $value:expr;)*) => {$(
        mod $field {
            use super::*;

            fn with(set: impl FnOnce(&mut GossipConfig)) -> GossipConfig {
                let mut c = GossipConfig::default();
                set(&mut c);
                c
            }

            #[test]
            fn is_accepted_at_both_ends_of_its_range() {
                assert_eq!(with(|c| c.$field = $least).validate(), Ok(()));
                assert_eq!(with(|c| c.$field = $most).validate(), Ok(()));
            }

            #[test]
            fn is_refused_by_name_outside_its_range() {
                $({
                    let (field, text) = out_of_range(with(|c| c.$field = $past));
                    assert_eq!(field, stringify!($field));
                    assert!(text.starts_with(stringify!($field)) && text.contains("must be from"), "{text}");
                })+
            }

            #[test]
            fn is_read_alone_with_the_others_at_their_defaults() {
                let expected = with(|c| c.$field = $value);
                let toml = concat!(stringify!($field), " = ", $text);
                assert_eq!(toml::from_str::<GossipConfig>(toml).unwrap(), expected);
                let json = concat!("{\"", stringify!($field), "\": ", $text, "}");
                assert_eq!(serde_json::from_str::<GossipConfig>(json).unwrap(), expected);
                assert_ne!(expected, GossipConfig::default(), "the example is the default");
            }

            #[test]
            fn survives_being_written_and_read() {
                survives(&with(|c| c.$field = $least));
                survives(&with(|c| c.$field = $most));
                survives(&with(|c| c.$field = $value));
            }
        }
    )*};
}

fn survives(c: &GossipConfig) {
    assert_eq!(&toml::from_str::<GossipConfig>(&toml::to_string(c).unwrap()).unwrap(), c);
    assert_eq!(&serde_json::from_str::<GossipConfig>(&serde_json::to_string(c).unwrap()).unwrap(), c);
}

in_force! {
    active_view_size: 8, 12, past 0, 7, 13, usize::MAX; "9" is 9;
    passive_view_size: 64, 128, past 0, 63, 129; "100" is 100;
    probe_interval: Duration::from_millis(100), SECOND * 60, past Duration::ZERO, Duration::from_millis(99), SECOND * 61;
        "\"2s\"" is SECOND * 2;
    suspect_timeout: Duration::from_millis(500), SECOND * 300, past Duration::ZERO, Duration::from_millis(499), SECOND * 301;
        "\"5s\"" is SECOND * 5;
    message_cache_size: 16, 10_000_000, past 0, 15, 10_000_001; "500" is 500;
    message_cache_ttl: SECOND, SECOND * 86_400, past Duration::ZERO, Duration::from_millis(999), SECOND * 86_401;
        "\"90s\"" is SECOND * 90;
    history_max_age: SECOND * 60, SECOND * 30 * 86_400, past SECOND * 59, SECOND * (30 * 86_400 + 1);
        "\"1h 30m\"" is SECOND * 5_400;
    history_max_bytes: 1 << 20, 16 << 30, past 0, (1 << 20) - 1, (16 << 30) + 1; "2000000" is 2_000_000;
    anti_entropy_interval: SECOND, SECOND * 3_600, past SECOND / 2, SECOND * 3_601; "\"45s\"" is SECOND * 45;
    presence_beacon_ttl: SECOND * 30, SECOND * 86_400, past Duration::ZERO, SECOND * 29, SECOND * 86_401;
        "\"5m\"" is SECOND * 300;
    gap_wait: Duration::ZERO, SECOND * 600, past SECOND * 601, Duration::MAX; "\"500ms\"" is Duration::from_millis(500);
    max_links: 16, 4096, past 0, 15, 4097; "200" is 200;
    foaf_ttl: 1, 4, past 0, 5, 255; "2" is 2;
    foaf_fanout: 1, 4, past 0, 5, 255; "2" is 2;
}

mod as_a_whole {
    use super::*;

    #[test]
    fn the_defaults_are_valid_and_survive_being_written() {
        assert_eq!(GossipConfig::default().validate(), Ok(()));
        survives(&GossipConfig::default());
    }

    #[test]
    fn nothing_written_is_the_default() {
        assert_eq!(toml::from_str::<GossipConfig>("").unwrap(), GossipConfig::default());
        assert_eq!(serde_json::from_str::<GossipConfig>("{}").unwrap(), GossipConfig::default());
    }

    #[test]
    fn every_field_is_tested_here() {
        let all = serde_json::to_value(GossipConfig::default()).unwrap();
        assert_eq!(all.as_object().unwrap().len(), 13 + 2);
    }

    #[test]
    fn an_unknown_field_is_an_error_that_names_it() {
        let e = toml::from_str::<GossipConfig>("active_veiw_size = 9").unwrap_err().to_string();
        assert!(e.contains("active_veiw_size") && e.contains("active_view_size"), "{e}");
        let e = serde_json::from_str::<GossipConfig>("{\"fanout\": 3}").unwrap_err().to_string();
        assert!(e.contains("fanout"), "{e}");
    }

    #[test]
    fn a_value_of_the_wrong_kind_is_an_error() {
        for bad in ["active_view_size = \"ten\"", "active_view_size = -1", "gap_wait = 10", "max_links = 1.5"] {
            assert!(toml::from_str::<GossipConfig>(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_duration_that_is_none_is_an_error_with_examples() {
        let e = toml::from_str::<GossipConfig>("gap_wait = \"soon\"").unwrap_err().to_string();
        assert!(e.contains("\"soon\"") && e.contains("30s"), "{e}");
    }
}

/// Each setting in force changes what a node does.
mod in_a_node {
    use super::*;

    fn subscribed(config: GossipConfig) -> (Driven, Fake, Fake) {
        let mut d = Driven::with(config);
        d.command(Command::Subscribe { topic: news() });
        let friend = Fake::new(1);
        d.neighbor(&friend);
        (d, friend, Fake::new(9))
    }

    fn cached(d: &Driven) -> (usize, u64) {
        let t = d.node.topics().remove(0);
        (t.cached_messages, t.cached_bytes)
    }

    #[test]
    fn active_view_size_bounds_the_neighbours() {
        for active_view_size in [8, 10, 12] {
            let mut d = Driven::with(GossipConfig { active_view_size, ..GossipConfig::default() });
            for n in 1..=14 {
                let p = Fake::new(n);
                d.link(&p);
                let (me, sketch) = (p.addr.clone(), Sketch::default());
                d.say(&p, Neighbor { overlay: None, me, urgent: false, room: 1, sketch });
            }
            assert_eq!(d.node.active_view(Overlay::Root).len(), active_view_size);
        }
    }

    #[test]
    fn passive_view_size_bounds_the_spares() {
        for passive_view_size in [64, 100, 128] {
            let mut d = Driven::with(GossipConfig { passive_view_size, ..GossipConfig::default() });
            let friend = Fake::new(1);
            d.link(&friend);
            d.befriend(&friend, Overlay::Root);
            for part in 0..12u8 {
                let peers = (0..16).map(|i| Fake::new(20 + part * 16 + i).addr).collect();
                let (path, sketch) = (vec![friend.id], Sketch::default());
                d.say(&friend, Shuffle { overlay: None, ttl: 1, path, peers, sketch });
            }
            assert_eq!(d.node.passive_view(Overlay::Root).len(), passive_view_size);
        }
    }

    #[test]
    fn probe_interval_is_how_often_a_link_is_probed() {
        for (ms, least, most) in [(100, 98, 102), (500, 19, 21), (5_000, 1, 2)] {
            let probe_interval = Duration::from_millis(ms);
            let mut d = Driven::with(GossipConfig { probe_interval, ..GossipConfig::default() });
            let friend = (1..).map(Fake::new).find(|f| d.probes(f)).unwrap();
            d.link(&friend);
            d.befriend(&friend, Overlay::Root);
            d.pass_ms(10_000);
            let pings = d.datagrams_to(&friend.id).iter().filter(|m| matches!(m, Message::Ping(_))).count();
            assert!((least..=most).contains(&pings), "{pings} in 10 s, one each {ms} ms");
        }
    }

    #[test]
    fn suspect_timeout_is_how_long_a_silent_neighbour_is_waited_for() {
        for (ms, gone) in [(500, true), (5_000, false)] {
            let suspect_timeout = Duration::from_millis(ms);
            let (mut d, friend, _) = subscribed(GossipConfig { suspect_timeout, ..GossipConfig::default() });
            d.mute.insert(friend.id);
            d.pass_ms(5_000);
            let died = |x: &Did| matches!(x, Did::Event(Event::PeerLeft { reason: LeaveReason::Died, .. }));
            assert_eq!(d.did.iter().any(died), gone, "after 5 s of {ms} ms");
        }
    }

    #[test]
    fn message_cache_size_bounds_the_messages_kept() {
        for message_cache_size in [16, 20] {
            let (mut d, friend, author) = subscribed(GossipConfig { message_cache_size, ..GossipConfig::default() });
            for n in 1..=40 {
                d.bring(&friend, &author.batch(n, b"x"));
            }
            // The youngest may be kept besides.
            d.pass_ms(10_000);
            assert_eq!(cached(&d).0, message_cache_size);
            assert_eq!(d.payloads().len(), 40);
        }
    }

    #[test]
    fn message_cache_ttl_bounds_how_long_they_are_kept() {
        for (secs, left) in [(1, 0), (60, 1)] {
            let message_cache_ttl = SECOND * secs;
            let (mut d, friend, author) = subscribed(GossipConfig { message_cache_ttl, ..GossipConfig::default() });
            d.bring(&friend, &author.batch(1, b"x"));
            d.pass_ms(5_000);
            assert_eq!(cached(&d).0, left, "after 5 s of {secs} s");
        }
    }

    #[test]
    fn history_max_bytes_bounds_the_bytes_kept() {
        for (mib, most) in [(1, 1 << 20), (2, 2 << 20)] {
            let history_max_bytes = mib << 20;
            let (mut d, friend, author) = subscribed(GossipConfig { history_max_bytes, ..GossipConfig::default() });
            for n in 1..=100 {
                d.bring(&friend, &author.batch(n, &[0; MAX_MESSAGE]));
            }
            let bytes = cached(&d).1;
            assert!(bytes <= most && bytes > most - 2 * MAX_MESSAGE as u64, "{bytes} of {most}");
        }
    }

    #[test]
    fn history_max_age_bounds_how_old_a_batch_may_be() {
        for (secs, taken) in [(60, 0), (120, 1)] {
            let history_max_age = SECOND * secs;
            let (mut d, friend, author) = subscribed(GossipConfig { history_max_age, ..GossipConfig::default() });
            let old = BatchHeader { wall_ms: WALL - 90_000, ..author.header(1, &[b"x"]) };
            d.bring(&friend, &author.seal(old, &[b"x"]));
            assert_eq!(d.payloads().len(), taken, "90 s old, of {secs} s");
        }
    }

    #[test]
    fn gap_wait_is_how_long_a_gap_is_waited_for() {
        for (secs, gaps) in [(0, 1), (2, 1), (30, 0)] {
            let gap_wait = SECOND * secs;
            let (mut d, friend, author) = subscribed(GossipConfig { gap_wait, ..GossipConfig::default() });
            d.bring(&friend, &author.batch(1, b"x"));
            d.bring(&friend, &author.batch(3, b"x"));
            d.pass_ms(5_000);
            assert_eq!(d.gaps().len(), gaps, "after 5 s of {secs} s");
        }
    }

    #[test]
    fn presence_beacon_ttl_is_how_long_a_beacon_lives_and_half_of_it_how_often_it_is_repeated() {
        for secs in [40, 400] {
            let presence_beacon_ttl = SECOND * secs;
            let (mut d, friend, _) = subscribed(GossipConfig { presence_beacon_ttl, ..GossipConfig::default() });
            let key = tidings_proto::identity::RecordKey::from(d.id());
            let set = tidings_proto::records::sets::PRESENCE;
            let own = |d: &Driven| d.node.records().get(set, &key).map(|r| (r.claim.life.as_millis(), r.step()));
            assert_eq!(own(&d), Some((u64::from(secs) * 1_000, 0)));
            d.pass_ms(u64::from(secs) * 1_600);
            assert_eq!(own(&d).map(|o| o.1), Some(3), "one after a quarter to a half, and then each half");
            assert!(d.node.active_view(Overlay::Root).contains(&friend.id));
        }
    }

    #[test]
    fn max_links_bounds_the_links() {
        for max_links in [16, 24] {
            let mut d = Driven::with(GossipConfig { max_links, ..GossipConfig::default() });
            for n in 1..=40 {
                d.link(&Fake::new(n));
            }
            assert_eq!(d.node.links().len(), max_links);
            assert_eq!(d.counters().links_refused, 40 - max_links as u64);
            let refused = d.did.iter().filter(|x| matches!(x, Did::Closed(_, LinkRefusal::Full))).count();
            assert_eq!(refused, 40 - max_links);
        }
    }

    /// Whom a query at the end of its stem, or behind it, is passed on to, and with how many hops.
    fn passed_on(config: GossipConfig, stem: u8, ttl: u8) -> Vec<u8> {
        let mut d = Driven::with(config);
        for n in 1..=8 {
            let f = Fake::new(n);
            d.link(&f);
            d.befriend(&f, Overlay::Root);
        }
        d.say(&Fake::new(1), Seek { id: 7, salt: [1; 16], target: [2; 16], key: [3; 32], stem, ttl });
        let sent = |x: &Did| match x {
            Did::Sent { message: Message::Seek(m), .. } => Some(m.ttl),
            _ => None,
        };
        d.did.iter().filter_map(sent).collect()
    }

    #[test]
    fn foaf_ttl_bounds_how_far_a_query_goes() {
        for foaf_ttl in [1, 3, 4] {
            let config = || GossipConfig { foaf_ttl, ..GossipConfig::default() };
            let ttl = foaf_ttl as u8;
            assert_eq!(passed_on(config(), 1, 255), [ttl; 3], "at the end of the stem");
            assert_eq!(passed_on(config(), 0, 255), vec![ttl - 1; if ttl == 1 { 0 } else { 3 }], "behind it");
        }
    }

    #[test]
    fn foaf_fanout_is_how_many_are_asked() {
        for foaf_fanout in [1, 3, 4] {
            let config = GossipConfig { foaf_fanout, ..GossipConfig::default() };
            assert_eq!(passed_on(config, 1, 3).len(), foaf_fanout);
        }
    }
}
