//! Values of each kind, in the forms that people and programs write them.

use sha2::{Digest, Sha256};

use super::random::Random;

/// A value of `kind`, and whether it needs a word of context to be one.
pub(crate) fn value(kind: &str, random: &mut Random) -> (String, bool) {
    match kind {
        "email" => (email(random), false),
        "us_ssn" => nine(random, ssn),
        "us_itin" => nine(random, itin),
        "payment_card" => (card(random), false),
        "iban" => (iban(random), false),
        "ip_address" => (address(random), false),
        "mac_address" => (hardware_address(random), false),
        "date_of_birth" => (date(random), true),
        "us_passport" => {
            (if random.once_in(2) { random.shape("§########") } else { random.shape("C########") }, true)
        }
        "us_driver_license" => (license(random), true),
        "us_bank_routing" => (routing(random), true),
        "uk_nhs" => (nhs(random), true),
        "phone" => phone(random),
        "crypto_address" => (crypto(random), false),
        _ => (secret(random), false),
    }
}

const FIRST: &[&str] =
    &["zoe", "liam", "maria", "chen", "fatima", "oliver", "anna", "j", "sean", "priya", "info", "x"];
const LAST: &[&str] =
    &["obrien", "smith", "garcia", "wei", "khan", "mueller", "novak", "rossi", "o'neil", "de-vries"];
const HOSTS: &[&str] = &[
    "example.com",
    "example.org",
    "mail.example.co.uk",
    "example.net",
    "corp.example.io",
    "sub.domain.example.de",
    "ex-ample.museum",
    "example.xn--p1ai",
    "bücher.example",
    "example.photography",
];

fn email(random: &mut Random) -> String {
    let local = match random.number(0, 5) {
        0 => format!("{}.{}", random.pick(FIRST), random.pick(LAST)),
        1 => format!("{}_{}{}", random.pick(FIRST), random.pick(LAST), random.number(1, 99)),
        2 => format!("{}+{}", random.pick(FIRST), random.pick(LAST)),
        3 => format!("{}{}", random.pick(FIRST), random.digits(3)),
        4 => format!("{}.{}", random.pick(FIRST), random.pick(LAST)).to_uppercase(),
        _ => random.pick(LAST).to_owned(),
    };
    let host = random.pick(HOSTS);
    match random.number(0, 9) {
        0 => format!("{local}%40{host}"),
        1 => wide(&format!("{local}@{host}")),
        2 => format!("{local}\u{ff20}{host}"),
        3 => {
            let whole = format!("{local}@{host}");
            let at = random.number(1, 4) as usize;
            whole
                .chars()
                .enumerate()
                .flat_map(|(i, c)| (i == at).then_some('\u{200b}').into_iter().chain([c]))
                .collect()
        }
        _ => format!("{local}@{host}"),
    }
}

/// Full-width letters, digits and punctuation.
fn wide(text: &str) -> String {
    text.chars()
        .map(|c| if c.is_ascii_graphic() { char::from_u32(c as u32 + 0xFEE0).unwrap_or(c) } else { c })
        .collect()
}

fn nine(random: &mut Random, digits: fn(&mut Random) -> String) -> (String, bool) {
    let digits = digits(random);
    let (area, rest) = digits.split_at(3);
    let (group, serial) = rest.split_at(2);
    match random.number(0, 4) {
        0 => (digits.clone(), true),
        1 => (format!("{area} {group} {serial}"), false),
        2 => (format!("{area}.{group}.{serial}"), false),
        3 => (format!("{area}\u{2011}{group}\u{2011}{serial}"), false),
        _ => (format!("{area}-{group}-{serial}"), false),
    }
}

fn ssn(random: &mut Random) -> String {
    let area = loop {
        let area = random.number(1, 899);
        if area != 666 {
            break area;
        }
    };
    format!("{area:03}{:02}{:04}", random.number(1, 99), random.number(1, 9999))
}

fn itin(random: &mut Random) -> String {
    let group = random.pick(&["50", "58", "65", "70", "79", "88", "90", "92", "94", "99"]);
    format!("9{}{group}{}", random.digits(2), random.digits(4))
}

/// Prefixes and lengths of issuers.
const ISSUERS: &[(&str, &[usize])] = &[
    ("4", &[13, 16, 19]),
    ("51", &[16]),
    ("55", &[16]),
    ("2221", &[16]),
    ("2720", &[16]),
    ("34", &[15]),
    ("37", &[15]),
    ("6011", &[16, 19]),
    ("65", &[16]),
    ("3530", &[16]),
    ("36", &[14]),
    ("305", &[14]),
    ("62", &[16, 17, 18, 19]),
    ("5018", &[12, 13, 16, 18, 19]),
    ("6759", &[12, 15, 16, 19]),
    ("2200", &[16]),
    ("9792", &[16]),
    ("8600", &[16]),
];

fn card(random: &mut Random) -> String {
    let (prefix, lengths) = ISSUERS[random.number(0, ISSUERS.len() as u64 - 1) as usize];
    let length = lengths[random.number(0, lengths.len() as u64 - 1) as usize];
    let body = format!("{prefix}{}", random.digits(length - prefix.len() - 1));
    let check = (0..10).map(|digit| format!("{body}{digit}")).find(|whole| luhn(whole));
    let digits = check.unwrap_or(body);
    let separator = random.pick(&["", "", " ", "-"]);
    let groups: &[usize] = match digits.len() {
        14 | 15 => &[4, 6, 5],
        _ => &[4, 4, 4, 4, 4],
    };
    let mut rest = digits.as_str();
    let mut parts = Vec::new();
    for group in groups {
        let (part, behind) = rest.split_at((*group).min(rest.len()));
        parts.push(part);
        rest = behind;
    }
    parts.retain(|part| !part.is_empty());
    parts.join(separator)
}

fn luhn(digits: &str) -> bool {
    let mut sum = 0;
    for (index, digit) in digits.bytes().rev().map(|byte| u32::from(byte - b'0')).enumerate() {
        let digit = if index % 2 == 1 { digit * 2 } else { digit };
        sum += digit / 10 + digit % 10;
    }
    sum % 10 == 0
}

const ACCOUNTS: &[(&str, &str)] = &[
    ("DE", "##################"),
    ("GB", "WEST##############"),
    ("FR", "#######################"),
    ("ES", "####################"),
    ("NL", "ABNA##########"),
    ("NO", "###########"),
    ("MT", "MALT##################ABC##"),
    ("CH", "#################"),
    ("IT", "X######################"),
    ("SA", "####################"),
    ("LC", "HEMM################ABCD####"),
    ("BE", "############"),
];

fn iban(random: &mut Random) -> String {
    let (country, shape) = ACCOUNTS[random.number(0, ACCOUNTS.len() as u64 - 1) as usize];
    let body = random.shape(shape);
    let number = |text: &str| {
        text.bytes().fold(0u64, |rest, byte| {
            if byte.is_ascii_digit() {
                (rest * 10 + u64::from(byte - b'0')) % 97
            } else {
                (rest * 100 + u64::from(byte - b'A') + 10) % 97
            }
        })
    };
    let check = 98 - number(&format!("{body}{country}00"));
    let whole = format!("{country}{check:02}{body}");
    match random.number(0, 3) {
        0 => whole,
        1 => whole.to_lowercase(),
        _ => whole
            .as_bytes()
            .chunks(4)
            .map(|group| String::from_utf8_lossy(group).into_owned())
            .collect::<Vec<_>>()
            .join(" "),
    }
}

fn address(random: &mut Random) -> String {
    let group = |random: &mut Random| format!("{:x}", random.number(0, 0xFFFF));
    match random.number(0, 5) {
        0 => (0..8).map(|_| group(random)).collect::<Vec<_>>().join(":"),
        1 => format!("2001:db8::{}", group(random)),
        2 => format!("fe80::{}:{}:{}", group(random), group(random), group(random)),
        _ => (0..4).map(|_| random.number(1, 255).to_string()).collect::<Vec<_>>().join("."),
    }
}

fn hardware_address(random: &mut Random) -> String {
    match random.number(0, 3) {
        0 => random.shape("~~~~.~~~~.~~~~"),
        1 => random.shape("~~-~~-~~-~~-~~-~~").to_uppercase(),
        _ => random.shape("~~:~~:~~:~~:~~:~~"),
    }
}

fn date(random: &mut Random) -> String {
    let (year, month, day) = (random.number(1930, 2015), random.number(1, 12), random.number(1, 28));
    let names = [
        "January",
        "February",
        "March",
        "April",
        "May",
        "June",
        "July",
        "August",
        "September",
        "October",
        "November",
        "December",
    ];
    let name = names[month as usize - 1];
    match random.number(0, 6) {
        0 => format!("{year}-{month:02}-{day:02}"),
        1 => format!("{day:02}/{month:02}/{year}"),
        2 => format!("{day}.{month}.{year}"),
        3 => format!("{day} {name} {year}"),
        4 => format!("{name} {day}, {year}"),
        5 => format!("{} {day}, {year}", &name[..3]),
        _ => format!("{month:02}/{day:02}/{:02}", year % 100),
    }
}

fn license(random: &mut Random) -> String {
    let shape =
        random.pick(&["D#######", "W############", "########", "A###-####-####", "AB######", "#########"]);
    random.shape(shape)
}

fn routing(random: &mut Random) -> String {
    let body = format!(
        "{}{}",
        random.pick(&["01", "02", "07", "11", "12", "21", "26", "31", "32"]),
        random.digits(6)
    );
    let sum = |text: &str| {
        text.bytes()
            .zip([3, 7, 1].into_iter().cycle())
            .map(|(byte, weight)| u32::from(byte - b'0') * weight)
            .sum::<u32>()
    };
    (0..10).map(|digit| format!("{body}{digit}")).find(|whole| sum(whole).is_multiple_of(10)).unwrap_or(body)
}

fn nhs(random: &mut Random) -> String {
    let digits = loop {
        let body = format!("{}{}", random.pick(&["4", "6", "7"]), random.digits(8));
        let sum: u32 =
            body.bytes().zip((2..=10).rev()).map(|(byte, weight)| u32::from(byte - b'0') * weight).sum();
        match 11 - sum % 11 {
            10 => {}
            check => break format!("{body}{}", check % 11),
        }
    };
    match random.number(0, 2) {
        0 => digits,
        1 => format!("{}-{}-{}", &digits[..3], &digits[3..6], &digits[6..]),
        _ => format!("{} {} {}", &digits[..3], &digits[3..6], &digits[6..]),
    }
}

/// Forms of telephone numbers, and whether they need context.
const PHONES: &[(&str, bool)] = &[
    ("+1 ^##-^##-####", false),
    ("+1 (^##) ^##-####", false),
    ("+1^##^######", false),
    ("(^##) ^##-####", false),
    ("^##-^##-####", false),
    ("^##.^##.####", false),
    ("1-^##-^##-####", false),
    ("^##^######", true),
    ("+44 20 7### ####", false),
    ("+44 (0)20 7### ####", false),
    ("020 7### ####", false),
    ("07### ######", false),
    ("+447#########", false),
    ("0161 ### ####", false),
    ("+49 30 #######", false),
    ("+49 151 ########", false),
    ("030 #######", false),
    ("0151 ########", false),
    ("030/#######", false),
    ("(030) #######", false),
    ("+33 6 ## ## ## ##", false),
    ("06 ## ## ## ##", false),
    ("01.##.##.##.##", false),
    ("+33§########", false),
    ("+34 6## ### ###", false),
    ("6## ### ###", false),
    ("91 ### ## ##", false),
    ("+91 9#### #####", false),
    ("9#### #####", false),
    ("+91-8#########", false),
    ("0049 30 #######", false),
    ("+86 138 #### ####", false),
    ("+55 11 9####-####", false),
    ("+353 87 ### ####", false),
];

fn phone(random: &mut Random) -> (String, bool) {
    let (shape, named) = PHONES[random.number(0, PHONES.len() as u64 - 1) as usize];
    (random.shape(shape), named)
}

fn crypto(random: &mut Random) -> String {
    if random.once_in(3) {
        return random.shape(&format!("0x{}", "~".repeat(40)));
    }
    let version = [0x00, 0x05, 0x41, 0x1E, 0x30][random.number(0, 4) as usize];
    let mut bytes = vec![version];
    bytes.extend((0..20).map(|_| random.number(0, 255) as u8));
    let check = Sha256::digest(Sha256::digest(&bytes));
    bytes.extend_from_slice(&check[..4]);
    let alphabet = b"123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    let zeros = bytes.iter().take_while(|byte| **byte == 0).count();
    let mut digits: Vec<u32> = Vec::new();
    for byte in bytes {
        let mut carry = u32::from(byte);
        for digit in &mut digits {
            carry += *digit << 8;
            *digit = carry % 58;
            carry /= 58;
        }
        while carry > 0 {
            digits.push(carry % 58);
            carry /= 58;
        }
    }
    let ones = std::iter::repeat_n(0, zeros);
    ones.chain(digits.into_iter().rev()).map(|digit| char::from(alphabet[digit as usize])).collect()
}

const ALPHANUMERIC: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";

fn secret(random: &mut Random) -> String {
    let upper = b"ABCDEFGHIJKLMNOPQRSTUVWXYZ234567";
    match random.number(0, 10) {
        0 => format!("ghp_{}", random.letters(36, ALPHANUMERIC)),
        1 => format!("AKIA{}", random.letters(16, upper)),
        2 => format!("AIza{}", random.letters(35, ALPHANUMERIC)),
        3 => format!("xoxb-{}-{}-{}", random.digits(12), random.digits(12), random.letters(24, ALPHANUMERIC)),
        4 => format!("sk_live_{}", random.letters(24, ALPHANUMERIC)),
        5 => format!("sk-proj-{}", random.letters(48, ALPHANUMERIC)),
        6 => format!("sk-ant-api03-{}", random.letters(90, ALPHANUMERIC)),
        7 => format!(
            "lsv2_pt_{}_{}",
            random.letters(32, b"0123456789abcdef"),
            random.letters(10, b"0123456789abcdef")
        ),
        8 => format!("github_pat_{}_{}", random.letters(22, ALPHANUMERIC), random.letters(59, ALPHANUMERIC)),
        9 => format!("sk-{}T3BlbkFJ{}", random.letters(20, ALPHANUMERIC), random.letters(20, ALPHANUMERIC)),
        _ => format!(
            "eyJhbGciOiJIUzI1NiJ9.eyJ{}.{}",
            random.letters(60, ALPHANUMERIC),
            random.letters(43, ALPHANUMERIC)
        ),
    }
}
