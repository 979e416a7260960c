//! Texts as agents write them, with a value in them.

use super::random::Random;
use super::{Sample, near_misses, values};

/// Words that name a kind, as they stand before a value.
fn names(kind: &str) -> &'static [&'static str] {
    match kind {
        "email" => &["Email: ", "contact ", "e-mail address is ", "mailto:", "<"],
        "us_ssn" => {
            &["SSN: ", "social security number ", "ssn=", "Social Security No. ", "the SSN on file is "]
        }
        "us_itin" => &["ITIN: ", "taxpayer id ", "itin=", "Tax ID: "],
        "payment_card" => &["card ", "Card number: ", "paid with ", "Visa ", "cc="],
        "iban" => &["IBAN ", "IBAN: ", "account ", "transfer to "],
        "ip_address" => &["from ", "IP: ", "client_ip=", "http://", "host "],
        "mac_address" => &["MAC ", "device ", "hw addr "],
        "date_of_birth" => {
            &["DOB: ", "born on ", "date of birth ", "Date of Birth: ", "birthdate: ", "She was born "]
        }
        "us_passport" => &["passport ", "Passport number: ", "passport no. "],
        "us_driver_license" => {
            &["driver's license ", "Driver License: ", "DLN ", "driver license number is "]
        }
        "us_bank_routing" => &["routing number ", "ABA ", "Routing: ", "routing no. "],
        "uk_nhs" => &["NHS number ", "NHS no: ", "NHS "],
        "phone" => &["call ", "Phone: ", "tel. ", "mobile ", "reach me at ", "phone="],
        "crypto_address" => &["wallet ", "send BTC to ", "address: "],
        _ => &["key ", "use ", "token: ", "API_KEY=", "Authorization: Bearer "],
    }
}

const OPENINGS: &[&str] = &[
    "",
    "The customer writes: ",
    "According to the record, ",
    "{'role': 'user', 'content': '",
    "Sure! ",
    "Note: ",
    "| Zoe | ",
    "- ",
    "Results:\n1. ",
    "请注意：",
    "Für Frau Müller: ",
    "\"",
];
const CLOSINGS: &[&str] = &[
    "",
    ".",
    ", thanks",
    " and more.",
    "'}",
    "\n",
    " | 42 |",
    "; please confirm",
    "!",
    " (verified)",
    "\"",
    "。",
    " – done",
];

/// A text with one value of `kind`.
pub(crate) fn with_value(kind: &'static str, random: &mut Random) -> Sample {
    let (value, named) = values::value(kind, random);
    let mut text = random.pick(OPENINGS).to_owned();
    // A near miss before it, but no number that a word of context could be taken for.
    if random.once_in(4) {
        text.push_str(&near_misses::identifier(random));
        text.push_str(", ");
    }
    if named || !random.once_in(3) {
        text.push_str(random.pick(names(kind)));
    }
    let begin = text.len();
    text.push_str(&value);
    let end = text.len();
    text.push_str(random.pick(CLOSINGS));
    Sample { text, planted: vec![(kind, begin, end)] }
}
