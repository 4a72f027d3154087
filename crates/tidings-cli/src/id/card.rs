//! Cards: `id --card`, `id --qr` and `id read`.

use qrcode::render::unicode::Dense1x2;
use qrcode::{EcLevel, QrCode};
use serde_json::{Value, json};
use tidings::read_card;

use crate::args::DataArgs;
use crate::client::Client;
use crate::error::CliError;
use crate::names::Book;
use crate::out::{self, Paint};

/// `tidings id --card` and `--qr`.
pub(super) async fn show(data: &DataArgs, qr: bool, json: bool) -> Result<(), CliError> {
    let answer = Client::open(data)?.get("/v1/card").await?;
    let card = answer["card"].as_str().unwrap_or_default();
    if json {
        return out::json(&answer);
    }
    if qr {
        for line in code(card)?.lines() {
            // Black on white on a terminal, whatever its colours.
            out::line(&Paint::stdout().ink(line))?;
        }
        return Ok(());
    }
    out::line(&out::harmless(card))
}

/// The card as a code, two rows of it a line. Capitals and digits alone take three quarters of the room.
fn code(card: &str) -> Result<String, CliError> {
    let too_long = |e| CliError::Node(format!("the card does not fit a code: {e}"));
    let code = QrCode::with_error_correction_level(card.to_ascii_uppercase(), EcLevel::L).map_err(too_long)?;
    Ok(code.render::<Dense1x2>().quiet_zone(true).build())
}

/// `tidings id read`.
pub(super) fn read(data: &DataArgs, text: &str, json: bool) -> Result<(), CliError> {
    let card = read_card(text).map_err(|e| CliError::Usage(e.to_string()))?;
    let addrs: Vec<String> = card.peer.addrs.iter().map(ToString::to_string).collect();
    let mut shown = json!({
        "agent": card.agent.to_string(),
        "words": card.agent.words(),
        "node": card.node().to_string(),
        "addrs": addrs,
        "certificate": card.certificate.to_string(),
        "issued_ms": card.issued.0,
        "expires_ms": card.expires.0,
    });
    Book::open(data)?.add(&mut shown);
    if json {
        return out::json(&shown);
    }
    let paint = Paint::stdout();
    let expires = std::time::UNIX_EPOCH + std::time::Duration::from_millis(card.expires.0.min(u64::MAX / 2_000_000));
    let until = humantime::format_rfc3339_seconds(expires).to_string();
    let rows = [
        ("agent", shown["agent"].clone()),
        ("name", shown["agent_name"].clone()),
        ("words", shown["words"].clone()),
        ("node", shown["node"].clone()),
        ("addresses", json!(addrs.join(" "))),
        ("holds until", json!(until)),
    ];
    for (name, value) in rows.iter().filter(|(_, v)| !v.is_null()) {
        let value = value.as_str().map_or_else(String::new, out::harmless);
        out::line(&format!("{} {value}", paint.dim(&format!("{name:<11}"))))?;
    }
    Ok(())
}

/// `tidings id revoke`.
pub(super) async fn revoke(data: &DataArgs, node: &str, json: bool) -> Result<(), CliError> {
    let client = Client::open(data)?;
    let id = match node.parse::<tidings::NodeId>() {
        Ok(id) => id.to_string(),
        Err(_) => crate::names::beginning(data, node, "node").await?,
    };
    let answer: Value = client.revoke(&id).await?;
    if json {
        return out::json(&answer);
    }
    out::line(&format!("node {id} speaks for the agent no longer; the network is told"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_card_is_a_code_that_fits_a_screen() {
        // Eight IPv6 addresses: 450 bytes, a check, five bits a character.
        let card = format!("tidingscard1{}", "a7".repeat(727 / 2));
        let text = code(&card).unwrap();
        let (width, height) = (text.lines().map(|l| l.chars().count()).max().unwrap(), text.lines().count());
        assert!(width <= 100 && height <= 50, "{width} by {height}");
        let usual = code(&card[..430]).unwrap();
        assert!(usual.lines().all(|l| l.chars().count() <= 79), "wider than a terminal");
    }

    #[test]
    fn a_code_is_of_the_capitals_that_take_less_room() {
        assert_eq!(code("tidingscard1abc").unwrap(), code("TIDINGSCARD1ABC").unwrap());
    }
}
