//! What a node counts: every drop, refusal and repair is visible here.

#[macro_use]
mod define;
use serde::Serialize;

counters! {
    /// Frames received.
    frames_in,
    /// Frames sent.
    frames_out,
    /// Bytes of frames sent on the control lane.
    control_bytes_out,
    /// Bytes of frames sent on the data lane.
    data_bytes_out,
    /// Bytes of frames sent on the bulk lane.
    bulk_bytes_out,
    /// Frames of another wire version, too long, or cut wrongly.
    frames_malformed,
    /// Frames with a tag this version does not know, skipped.
    frames_unknown,
    /// Frames on a lane they do not belong on.
    frames_wrong_lane,
    /// Frames not sent because the link was gone.
    frames_unsendable,
    /// Control frames not sent because the lane was full.
    control_overflow,
    /// Messages refused because they were not asked for, or made no sense in the state.
    frames_unexpected,
    /// Turns that hit the routing budget and went on in the next.
    turns_over_budget,
    /// Links refused because as many as allowed were there.
    links_refused,
    /// Links closed because neither end had a use for them.
    links_reaped,
    /// Joins and neighbour requests put off by rate limits.
    joins_limited,
    /// Shuffles of a neighbour dropped because it sent too many.
    shuffles_limited,
    /// Neighbours that made room for others.
    neighbors_replaced,
    /// Links that an overlay with many gave up for one with few, because no more were allowed.
    links_shared_out,
    /// Answers that could not go back the way their walk came, because a neighbour on it had gone.
    walks_lost,
    /// Topics of a neighbour not remembered, for want of room.
    topics_ignored,
    /// Messages published here.
    published,
    /// Messages delivered to the program.
    delivered,
    /// Those of them flagged late: after a later one of their author.
    delivered_late,
    /// Batches sent to neighbours, every copy counted.
    batches_sent,
    /// Batches received for the first time.
    batches_received,
    /// Batches received again.
    batches_duplicate,
    /// Batches received in answer to a request of ours.
    batches_pulled,
    /// Batches with a wrong signature.
    batches_forged,
    /// Batches whose authors may not publish on their topics.
    batches_unauthorised,
    /// Batches that had to wait until it was known whether their authors may.
    batches_unproven,
    /// Those that came when too many waited, or waited too long.
    batches_unproven_shed,
    /// Questions for capabilities sent.
    capabilities_asked,
    /// Capabilities verified.
    capabilities_verified,
    /// Capabilities that are none, are forged, or do not hold where they were named.
    capabilities_refused,
    /// Capabilities from peers that were not asked.
    capabilities_unexpected,
    /// Capabilities sent to those who asked.
    capabilities_served,
    /// Capabilities others asked for that are not here.
    capabilities_not_held,
    /// Capabilities not given because a neighbour asked for too many.
    capabilities_limited,
    /// Batches on a private topic that its secret does not open.
    batches_sealed,
    /// Batches not in the format.
    batches_malformed,
    /// Batches of a topic this node is not in.
    batches_off_topic,
    /// Batches older than the history, or from the future.
    batches_out_of_time,
    /// Batches that contradict what is known of their author's, or copies that are not what they claim to be.
    batches_contradictory,
    /// Batches refused for want of room, fetched again later.
    batches_shed,
    /// Frames of announcements sent.
    ihaves_sent,
    /// Announcements received.
    ihaves_received,
    /// Times that a peer was found too slow to push to.
    peers_slowed,
    /// Times that a neighbour was found to read nothing.
    peers_stuck,
    /// Announcements dropped for want of room.
    ihaves_shed,
    /// Batches asked for after an announcement.
    grafts_sent,
    /// Links taken out of the tree.
    prunes_sent,
    /// Links exchanged for a faster one.
    swaps,
    /// Ranges of missing messages asked for.
    fetches_sent,
    /// Batches served from the log.
    batches_served,
    /// Requests for batches the log no longer has.
    log_misses,
    /// Gaps reported to the program.
    gaps,
    /// Messages given up on, in those gaps.
    messages_missed,
    /// Waits for missing messages that ended early, because too much waited behind them.
    gaps_hurried,
    /// Deliveries dropped because the program left the topic while they were being stored.
    deliveries_unwanted,
    /// Batches of ours dropped because no neighbour came to take them.
    batches_unsent,
    /// Records that could not be written.
    storage_failures,
    /// Requests to the durable log that it refused.
    log_failures,
    /// Batches put back into memory from the durable log.
    batches_restored,
    /// Authors forgotten for want of room.
    authors_forgotten,
    /// Large messages whose payload is no manifest.
    manifests_malformed,
    /// Contents of large messages received.
    contents_received,
    /// Contents that could not be had, or had to make room before they were complete.
    contents_lost,
    /// Contents no longer offered, for want of room.
    contents_evicted,
    /// Chunks of contents sent, every copy counted.
    chunks_sent,
    /// Chunks received for the first time.
    chunks_received,
    /// Chunks received again, after a time-out.
    chunks_duplicate,
    /// Chunks that nobody was asked for, dropped unread.
    chunks_unexpected,
    /// Chunks that are not what the manifest says; who sent them is not asked again for that content.
    chunks_forged,
    /// Chunks that did not come in time.
    chunks_timed_out,
    /// Chunks that a neighbour was asked for and does not have.
    chunks_lacked,
    /// Requests for chunks sent.
    wants_sent,
    /// Chunks or contents asked for that this node does not have, or that were too many.
    wants_refused,
    /// Times neighbours were told which chunks this node has.
    haves_sent,
    /// Times neighbours told of contents this node does not know.
    haves_unknown,
    /// Neighbours that asked for chunks and whose links took none for seconds: their requests were dropped.
    uploads_stuck,
    /// Neighbours told that they were reached.
    reach_attested,
    /// Attestations of another address, out of time, or with a wrong signature.
    reach_forged,
    /// Questions for attestations that came too often, or from no neighbour.
    reach_limited,
    /// Times that this node advertised itself as a coordinator.
    coordinator_adverts,
    /// Questions for certificates sent.
    certificates_asked,
    /// Certificates verified.
    certificates_verified,
    /// Certificates sent to those who asked.
    certificates_served,
    /// Certificates that are none, are forged, or do not hold.
    certificates_refused,
    /// Certificates, or answers that there is none, from peers that were not asked.
    certificates_unexpected,
    /// Questions for certificates not answered in time.
    certificates_timed_out,
    /// Certificates that nobody asked had.
    certificates_lacking,
    /// Certificates others asked for that are not here.
    certificates_not_held,
    /// Certificates not asked for, or not given, because there were too many, or a node named another too soon.
    certificates_limited,
    /// Nodes whose agents were forgotten for want of room.
    agents_forgotten,
    /// Records of the network that this node published.
    records_put,
    /// Records, and refreshes, received for the first time.
    records_received,
    /// Records, and refreshes, received again.
    records_duplicate,
    /// Records, and refreshes, sent to neighbours, every copy counted.
    records_sent,
    /// Announcements of records sent.
    records_announced,
    /// Records asked for after an announcement, or a refresh of something unknown.
    records_asked,
    /// Records not in their set's format, too long, or of no set.
    records_malformed,
    /// Announcements of roles with scores that cannot be.
    roles_implausible,
    /// Announcements of this node's own role.
    roles_announced,
    /// Others' that waited, because one took effect not long before.
    roles_held,
    /// Others' that took no effect: too old, out of time, too many.
    roles_refused,
    /// Words given to relays.
    vouches_given,
    /// Customers' words that came and hold.
    vouches_taken,
    /// Those that were forged, old or of no use.
    vouches_refused,
    /// Those for which there was no room, or that came too fast.
    vouches_limited,
    /// Records that were over, or of a time to come.
    records_out_of_time,
    /// Records older than what is known of their key.
    records_old,
    /// Records and refreshes that are not their owner's.
    records_forged,
    /// Records refused because their set was full.
    records_full,
    /// Records that made room for others.
    records_displaced,
    /// Records, and questions for them, beyond what one neighbour or one key may cost.
    records_limited,
    /// Records and announcements not sent for want of room; comparing brings them.
    records_shed,
    /// Records that were over.
    records_expired,
    /// Beacons of presence that this node's group secret does not open.
    beacons_sealed,
    /// Times that the tree of records was measured anew.
    record_waves,
    /// Probe datagrams received.
    datagrams_in,
    /// Probe datagrams sent.
    datagrams_out,
    /// Bytes of probe datagrams sent.
    probe_bytes_out,
    /// Datagrams from peers without a link, or on its way down.
    datagrams_unexpected,
    /// Rounds of probes in which a neighbour did not answer.
    probes_failed,
    /// Answers to probes that were never sent.
    acks_unexpected,
    /// Probes relayed for others.
    probes_relayed,
    /// Probes not relayed, or not answered for a relay: too many, or of somebody who is no neighbour here.
    probes_refused,
    /// Signed signs of life that were not signed by whom they speak of, or answer nothing that was asked.
    alives_forged,
    /// Neighbours suspected.
    suspicions,
    /// Suspected neighbours that turned out to be alive.
    suspicions_refuted,
    /// Statements of others that were ignored: of or by no neighbour, too many, or out of date.
    suspicions_ignored,
    /// Suspicions of this node that it refuted.
    suspected_ourselves,
    /// Neighbours that were removed because they did not answer.
    deaths,
    /// Neighbours removed because they could be reached only through others.
    unreachable,
    /// Removed neighbours that came back.
    returned,
    /// Neighbours that were started again.
    restarts_seen,
    /// Incarnations refused: none, or further in the future than clocks may be apart.
    incarnations_refused,
    /// Incarnations older than one known, ignored.
    incarnations_stale,
    /// Times two live nodes with one key were noticed.
    clones_seen,
    /// Times this node noticed that it had been stopped, or too busy, for a moment.
    stalls,
    /// Peers dialed as a dead neighbour's other neighbours, or to see whether they are back.
    rescue_dials,
    /// Such dials put off by their limits.
    rescue_dials_limited,
    /// Comparisons of a log with a neighbour's, asked for.
    reconcile_compared,
    /// Times something was fetched from a neighbour after comparing.
    reconcile_sessions,
    /// Comparisons and sessions that were not answered, or stopped.
    reconcile_failed,
    /// Differences that coded symbols did not give.
    reconcile_undecoded,
    /// Coded symbols taken until a difference was known.
    reconcile_symbols,
    /// Questions of neighbours that came too soon or asked for too much, not answered.
    reconcile_limited,
    /// Batches that came because logs were compared and were new here.
    batches_recovered,
    /// Batches known before that came back into the log.
    batches_refilled,
    /// Queries for agents sent to neighbours, this node's own and those passed on.
    seeks_sent,
    /// Queries that reached this node behind their stem, once each.
    seeks_asked,
    /// Queries that this node could answer.
    seeks_answered,
    /// Queries that were here before.
    seeks_duplicate,
    /// Queries refused because a neighbour brought too many.
    seeks_limited,
    /// Neighbours that did not answer a query in time.
    seeks_unanswered,
    /// Answers to queries sent or passed back.
    answers_sent,
    /// Answers not passed back, because as many as allowed were.
    answers_spare,
    /// Branches of a query that found nothing, reported back.
    not_founds_sent,
    /// Answers to queries that were not asked.
    answers_unexpected,
    /// Answers to this node's queries that did not open, or were not signed as they must be.
    answers_forged,
    /// Agents found by asking neighbours.
    agents_found,
    /// Statements where an agent is, sent to neighbours.
    deposits_sent,
    /// Statements received.
    deposits_received,
    /// Those of them that were new, and are kept.
    deposits_kept,
    /// Those older than what is known, or of this node.
    deposits_stale,
    /// Those refused: malformed, out of time, forged, or without a certificate that holds.
    deposits_refused,
    /// Those dropped because a neighbour brought too many.
    deposits_limited,
    /// Statements forgotten for want of room.
    deposits_evicted,
    /// Sessions for direct messages that were opened.
    sessions_opened,
    /// Those that others opened here.
    sessions_taken,
    /// Those of others that were refused.
    sessions_refused,
    /// Those dropped because a link opened too many.
    sessions_limited,
    /// Sessions that the receiver closed.
    sessions_closed,
    /// Envelopes sent through relays; one that goes again counts again.
    envelopes_sent,
    /// Envelopes that could not be sent: too long, no room, or no link.
    envelopes_unsent,
    /// Envelopes that came through relays to their end.
    envelopes_arrived,
    /// Envelopes passed on for others.
    envelopes_relayed,
    /// Envelopes not taken to be passed on: no room, or no way.
    envelopes_declined,
    /// Envelopes taken that could not be passed on after all.
    envelopes_dropped,
    /// Envelopes of a neighbour that sends too many.
    envelopes_limited,
    /// Envelopes that were here already.
    envelopes_repeated,
    /// Envelopes with a loop, to oneself, too old, or with too many hops.
    envelopes_unsound,
    /// Envelopes from somebody who does not stand before this node on their way.
    envelopes_misrouted,
    /// Envelopes that their sender did not sign.
    envelopes_refused_forged,
    /// Acknowledgements of relays for what they were not given.
    relay_acks_unexpected,
    /// Times a relay said that it does not take something.
    relays_declined,
    /// Links that others asked this node to keep, and it does not.
    reservations_declined,
    /// Answers about links that this node had not asked for.
    reservations_unexpected,
    /// Relays credited for what they brought a receiver.
    relays_credited,
    /// Times a relay lost something that came another way.
    relays_failed,
    /// Passages that were not acknowledged or credited in time.
    passages_late,
    /// Nodes to which no way was left.
    courses_lost,
    /// Circuits through relays that came up.
    circuits_opened,
    /// Those that ended, or were wanted in vain.
    circuits_ended,
    /// Circuits that others wanted, or that could not be agreed upon.
    circuits_refused,
    /// Pieces of circuits that were sent.
    circuit_pieces_sent,
    /// Pieces that were not what the other end sealed.
    circuit_pieces_refused,
    /// Credits that this node was given for what it carried.
    credits_taken,
    /// Credits that are forged, out of time, given before, or for what was not carried.
    credits_refused,
    /// Credits not given because too many were due.
    credits_shed,
    /// Messages said to be read that were not sent, or not delivered.
    reads_unexpected,
    /// Direct messages sent; one that goes again counts again.
    direct_sent,
    /// Frames that they went in.
    direct_frames_sent,
    /// Direct messages with a receipt.
    direct_delivered,
    /// Direct messages without one, in the end.
    direct_failed,
    /// Direct messages that came.
    direct_received,
    /// Spot checks of relays: messages of no meaning that went by ways drawn at random.
    spot_checks,
    /// Backups: bundles made of messages whose receivers are away.
    backups_made,
    /// Backups: bundles of this node's that were taken by as many as were found.
    backups_kept,
    /// Backups: keepers that would not keep a bundle of this node's, or a copy.
    backups_declined,
    /// Backups: bundles taken in to be kept for others.
    backups_held,
    /// Backups: bundles that were not, for want of room or because they are not what they should be.
    backups_refused,
    /// Backups: bundles handed over, each time.
    backups_handed,
    /// Backups: copies made anew for keepers that are gone.
    backups_moved,
    /// Backups: bundles kept here until their time was over.
    backups_expired,
    /// Backups: bundles that brought this node something.
    backups_collected,
    /// Backups: bundles for this node that nobody proven has signed, or that are too old.
    backups_forged,
    /// Backups: bundles for this node that its keys do not open.
    backups_unopened,
    /// Backups: envelopes that can't be read.
    backups_malformed,
    /// Backups: answers and notes that nobody has a right to, or that come too late.
    backups_unexpected,
    /// Envelopes that had come already.
    envelopes_duplicate,
    /// Frames of envelopes in a session that is not known, or out of turn.
    envelopes_refused,
    /// Frames of envelopes that were not sealed and signed as they must be.
    envelopes_forged,
    /// Envelopes of a kind this version does not know, skipped.
    envelopes_unknown,
    /// Frames refused because the inbox was full.
    inbox_full,
    /// Receipts signed.
    receipts_given,
    /// Receipts that were not asked for, or forged.
    receipts_refused,
    /// Questions to holders that were not asked: too many, or no link to be had.
    calls_refused,
    /// Questions to holders that were not answered.
    calls_failed,
    /// Links to holders given back after use.
    calls_released,
    /// Questions of peers about the index dropped because a link brought too many.
    questions_limited,
    /// Statements sent to holders.
    registrations_sent,
    /// Statements of others this node holds now, or held already.
    registrations_kept,
    /// Statements of others refused: not believed, or of another shard.
    registrations_refused,
    /// Statements of others that had to make room.
    registrations_evicted,
    /// Nodes of the index dialed to see whether they are there.
    adverts_dialed,
    /// Nodes of the index that did not answer.
    adverts_unanswered,
    /// Nodes of the index that were seen in another place than they advertise.
    adverts_elsewhere,
    /// Times neighbours were told whom this node has reached.
    vouches_sent,
    /// Nodes that a neighbour vouched for beyond what it may.
    vouches_shed,
    /// Holders asked where an agent is.
    look_ups_asked,
    /// Times this node was asked so.
    look_ups_answered,
    /// Holders asked besides because others took long.
    look_ups_hedged,
    /// Look-ups that found an agent.
    look_ups_found,
    /// Members of topics that holders named.
    members_found,
}
