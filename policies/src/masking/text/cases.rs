//! What each detector finds, and its near-misses, at every split: one table. `‹name:…›` marks a find.

use super::tests::everywhere;

/// A text with its finds marked.
fn holds(marked: &str) {
    let mut plain = String::new();
    let mut rest = marked;
    while let Some((before, behind)) = rest.split_once('‹') {
        let (_, value) = behind.split_once(':').expect("a name");
        let (value, behind) = value.split_once('›').expect("an end");
        plain.push_str(before);
        plain.push_str(value);
        rest = behind;
    }
    plain.push_str(rest);
    assert_eq!(everywhere(&plain), marked);
}

#[test]
fn email() {
    holds("‹email:zoe.obrien@example.com›");
    holds("(‹email:Zoe+tag_1%x@mail.example.co.uk›).");
    holds("to=‹email:bob%40example.com›&cc=‹email:al%40example.org›");
    holds("q%3D‹email:bob%40example.com›");
    // A token may be longer than an address: what waits begins in the middle of the escape then.
    holds("x.%76‹email:457.eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbob%40example.comrouting› ");
    holds("‹email:zoë@bücher.example›, ‹email:o'neil@example.com›");
    holds("{'mail': '‹email:zoe@example.com›'}");
    holds("‹email:ｚｏｅ＠ｅｘａｍｐｌｅ．ｃｏｍ› ‹email:z\u{200b}oe@exam\u{ad}ple.com›");
    holds("请联系‹email:zoe@example.com›。");
    holds("‹email:4111111111111111@example.com› ‹email:x.078-05-1120@example.com›");
    for none in [
        "a@b",
        "@handle",
        "a @b.com",
        "a@ b.com",
        "user@localhost",
        "a@b.c",
        "@@",
        "x@1.2.3",
        "foo@bar.",
        "%40",
    ] {
        holds(none);
    }
}

#[test]
fn a_time_stamp_hides_no_value_that_begins_in_it() {
    holds("2026-11-22T14:21:04Z, 2026-11-22T14:21:04.552578+00:00, '2026-11-22T14:21:04'");
    holds("2026-11-22T14:21:‹payment_card:4111 1111 1111 1111›");
    holds("2026-11-22T14:‹ip_address:21:04::ffff:192›");
    holds("https://2026-11-22T14:‹secrets:21:04›@host");
}

#[test]
fn numbers_of_people() {
    holds(
        "‹us_ssn:078-05-1120› ‹us_ssn:078 05 1120› ‹us_ssn:078.05.1120›, SSN ‹us_ssn:078051120›, 078051120",
    );
    holds("‹us_ssn:０７８－０５－１１２０› ‹us_ssn:078\u{2011}05\u{2011}1120›");
    holds("‹us_itin:912-70-1234›, itin: ‹us_itin:912701234›, 912-45-1234, 912-93-1234");
    for none in [
        "000-12-3456",
        "666-12-3456",
        "078-00-1120",
        "078-05-0000",
        "078-05 1120",
        "A078-05-1120",
        "078-05-11201",
        "1-078-05-1120",
        "078-05-1120-3",
    ] {
        holds(none);
    }
    holds("NHS number ‹uk_nhs:943 476 5919› and nhs ‹uk_nhs:9434765919›; 9434765918, 9434765919");
    holds("passport ‹us_passport:C01234567›, Passport no. ‹us_passport:123456789›, C01234567");
    holds("driver's license ‹us_driver_license:D123-4567-8901›, D123-4567-8901");
    holds("DLN: ‹us_driver_license:W123456789012›");
    holds("routing number ‹us_bank_routing:021000021›, routing 021000022, 021000021");
    holds("born ‹date_of_birth:12/03/1985›, on 12/03/1985");
    holds(
        "DOB ‹date_of_birth:1985-03-12›T00:00:00Z, date of birth: ‹date_of_birth:March 12, 1985›. Born ‹date_of_birth:12. März 1985›",
    );
    holds("born 32/03/1985, born 12/13/19855, born in March, birthday on the 12th");
}

#[test]
fn money() {
    holds(
        "‹payment_card:4111 1111 1111 1111› ‹payment_card:4111-1111-1111-1111› ‹payment_card:4111111111111111›",
    );
    holds(
        "‹payment_card:378282246310005›, ‹payment_card:3782 822463 10005›, ‹payment_card:30569309025904›, ‹payment_card:4222222222222›",
    );
    holds("‹payment_card:6759649826438453›; cc ‹payment_card:4111111111111111›/12");
    for none in [
        "4111 1111 1111 1112",
        "1763821264123",
        "1763821264123456",
        "0.4111111111111111",
        "a4111111111111111",
        "41111111111111110000000",
        "9111111111111111",
    ] {
        holds(none);
    }
    holds("‹iban:DE89 3704 0044 0532 0130 00› and ‹iban:gb82west12345698765432›, ‹iban:NO93 8601 1117 947›");
    for none in [
        "DE88 3704 0044 0532 0130 00",
        "DE89 3704 0044 0532 0130 0",
        "XDE89370400440532013000",
        "DE89",
        "de facto",
    ] {
        holds(none);
    }
    holds(
        "‹crypto_address:1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN2› ‹crypto_address:bc1qar0srrr7xfkvy5l643lydnw9re59gtzzwf5mdq›",
    );
    holds("‹crypto_address:0x52908400098527886E0F7030069857D2E4169EE7›, 1BvBMSEYstWetqTFn5Au4m4GFg7xJaNVN3");
    holds("0x52908400098527886E0F7030069857D2E4169EE752908400098527886E0F7030");
}

#[test]
fn telephones() {
    for number in [
        "+1 415 555 2671",
        "+14155552671",
        "+1 (415) 555-2671",
        "(415) 555-2671",
        "415-555-2671",
        "415.555.2671",
        "1-415-555-2671",
        "+44 20 7946 0958",
        "+44 (0)20 7946 0958",
        "020 7946 0958",
        "07700 900123",
        "0161 496 0000",
        "+49 30 1234567",
        "030 1234567",
        "030/1234567",
        "(030) 1234567",
        "0151 23456789",
        "0049 30 1234567",
        "+33 1 23 45 67 89",
        "01 23 45 67 89",
        "06.12.34.56.78",
        "+34 612 345 678",
        "612 345 678",
        "91 123 45 67",
        "+91 98765 43210",
        "98765 43210",
    ] {
        holds(&format!("‹phone:{number}›"));
        holds(&format!("at ‹phone:{number}›, or"));
    }
    holds("call ‹phone:4155552671›, phone: ‹phone:5551234›");
    for none in [
        "4155552671",
        "1763821264",
        "115-555-2671",
        "+1",
        "+0 123 456 789",
        "5+12345678",
        "12 34 56",
        "order 415-555-2671",
        "(12) 34",
    ] {
        holds(none);
    }
}

#[test]
fn networks() {
    holds("‹ip_address:192.168.0.12›:8080, ‹ip_address:10.0.0.1›/24. http://‹ip_address:8.8.8.8›/");
    holds(
        "‹ip_address:2001:db8::1›, [‹ip_address:::1›]:80, ‹ip_address:fe80::›/10, ‹ip_address:::ffff:192.0.2.1›, ip:‹ip_address:fe80::1›",
    );
    holds("‹ip_address:2001:0db8:85a3:0000:0000:8a2e:0370:7334›");
    for none in [
        "256.1.1.1",
        "1.2.3",
        "1.2.3.4.5",
        "v1.2.3.4",
        "version 1.2.3.4",
        "Chrome/120.0.0.0",
        "std::vec",
        "::",
        "::abc",
        "12:30:45",
        "a::b::c",
        "1:2:3:4:5:6:7:8:9",
    ] {
        holds(none);
    }
    holds(
        "‹mac_address:00:1b:44:11:3a:b7› ‹mac_address:00-1B-44-11-3A-B7› ‹mac_address:aabb.ccdd.eeff› mac:‹mac_address:aa:bb:cc:dd:ee:ff›",
    );
    for none in
        ["00:1b:44:11:3a", "00:1b:44:11:3a:b7:00", "00:1b-44:11-3a:b7", "x00:1b:44:11:3a:b7", "aabb.ccdd"]
    {
        holds(none);
    }
}

#[test]
fn secrets() {
    let token = "abcdefghij0123456789ABCDEFGHIJ012345";
    for prefix in [
        "ghp_",
        "github_pat_",
        "glpat-",
        "xoxb-",
        "sk_live_",
        "sk-",
        "sk-proj-",
        "sk-ant-api03-",
        "lsv2_pt_",
        "hf_",
    ] {
        let token = token.replace(|c: char| prefix.starts_with("xox") && !c.is_ascii_alphanumeric(), "");
        holds(&format!("use ‹secrets:{prefix}{token}›, please"));
    }
    holds("‹secrets:AKIAIOSFODNN7EXAMPLE› ‹secrets:AIzaSyA0123456789abcdefghijklmnopqrstuv›");
    holds("‹secrets:eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl›.");
    holds(
        "password=‹secrets:hunter2›&x, \"password\": \"‹secrets:hunter2 and more›\", pwd: ‹secrets:s3cr3t!›",
    );
    holds("api_key = '‹secrets:0123abcd4567›' Authorization: Bearer ‹secrets:0123abcd4567efgh›");
    holds(
        "postgres://app:‹secrets:s3cret›@db/main https://hooks.slack.com/services/‹secrets:T00000000/B00000000/XXXXXXXXXXXXXXXX›",
    );
    for none in [
        "sk-learn",
        "sk-",
        "ghp_short",
        "AKIA",
        "eyJhbGci",
        "password: required.",
        "password=",
        "password reset",
        "max_tokens=100",
        "token: a",
        "https://host:8080/a@b",
        "secret: [SECRET]",
        "-----BEGIN PUBLIC KEY-----",
    ] {
        holds(none);
    }
}

#[test]
fn a_private_key_is_covered_to_the_end_of_its_block_or_of_the_text() {
    let block = "-----BEGIN RSA PRIVATE KEY-----\nMIIEow\nIBAAK--CAQEA\n-----END RSA PRIVATE KEY-----";
    assert_eq!(everywhere(&format!("a {block} b zoe@example.com")), "a ‹secrets…› b ‹email:zoe@example.com›");
    assert_eq!(everywhere("a -----BEGIN PRIVATE KEY-----\nMIIEow\n-----END PRIV"), "a ‹secrets…›");
}
