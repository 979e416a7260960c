//! JSON bodies: what is masked in them, and that nothing else changes.

use graphwarden_policies::masking::Media;
use serde_json::json;

use crate::split::{every_way, in_chunks, plan, whole};

fn masked(section: serde_json::Value, body: &str) -> String {
    every_way(&plan(section), Media::Json, body.as_bytes())
}

fn detected(body: &str) -> String {
    masked(json!({}), body)
}

#[test]
fn what_is_not_masked_stays_byte_for_byte() {
    for body in [
        "",
        "\n\n  \n",
        r#"{"a":1,"a" : 2 ,  "b":[ ],"c":{ }, "d":-0.10e+05}"#,
        "\u{feff}{\"k\": [true,false,null,NaN,-Infinity]}\r\n",
        r#""\u00eb \ud83d\ude00 \ud83d \/ \b\f\n\r\t \"quoted\" \\""#,
        r#"{"id":"9c1a3519-abd2-4563-a581-6e39b7adb674","event_id":"1795348013637-0","timestamp":1795348013649}"#,
        "123",
        "\n\n\n{\"done\": true}\n",
    ] {
        assert_eq!(detected(body), body);
    }
}

#[test]
fn a_literal_or_an_empty_container_ends_where_its_token_does() {
    let (mail, masked) = (r#","b":"zoe@example.com""#, r#","b":"[EMAIL]""#);
    for value in ["null", "true", "false", "{}", "[]"] {
        // Whole, with blanks, last of its object, and with what makes the document none from there on.
        for (behind, end) in
            [("", "}"), (" ", "}"), ("", "}]"), ("x", "}"), ("\"", "}"), ("]", "}"), ("1", "}")]
        {
            let body = format!("{{\"a\":{value}{behind}{mail}{end}");
            assert_eq!(detected(&body), body.replace(mail, masked));
            let body = format!("[{{\"a\":{{\"c\":{value}}}{behind}{mail}{end}");
            assert_eq!(detected(&body), body.replace(mail, masked));
        }
    }
}

/// Names that have been looked at are kept, and the next body begins with those of the one before.
#[test]
fn a_body_is_masked_alike_whatever_came_before_it() {
    let section = || json!({"keys": ["tax_id"], "fields": [{"path": "$.b.name"}, {"path": "$..deep[*].id"}]});
    let members = |value: &str| {
        let member = |name: &&str| format!("\"{name}\": \"{value}\"");
        ["name", "id", "tax_id", "phone", "born", "password", "zoe@example.com", "pass\\u0077ord", "an_id"]
            .iter()
            .map(member)
            .collect::<Vec<_>>()
            .join(", ")
    };
    let mut bodies = Vec::new();
    for value in ["1985-03-12T00:00:00Z", "9c1a3519-abd2-4563-a581-6e39b7adb674", "hunter2x", "020 7946 0958"]
    {
        for around in ["a", "b", "deep"] {
            let many = (0..70).map(|number| format!("\"k{number}\": {{{}}}", members(value)));
            bodies.push(format!("{{\"{around}\": {{{}}}}}", members(value)));
            bodies.push(format!("{{\"{around}\": [{{{}}}]}}", members(value)));
            bodies.push(format!("{{\"{around}\": {{{}}}}}", many.collect::<Vec<_>>().join(", ")));
        }
    }
    let alone: Vec<_> =
        bodies.iter().map(|body| whole(&plan(section()), Media::Json, body.as_bytes())).collect();
    let shared = plan(section());
    for step in 1..bodies.len() {
        for turn in 0..bodies.len() {
            let index = turn * step % bodies.len();
            // One that is open all the while has names of its own.
            let other = shared.open(Media::Json);
            let output = whole(&shared, Media::Json, bodies[index].as_bytes());
            assert_eq!(String::from_utf8_lossy(&output), String::from_utf8_lossy(&alone[index]));
            drop(other);
        }
    }
}

/// More names in a document inside of an array than are kept: the name that the array stands under is not forgotten over them.
#[test]
fn a_name_tells_what_its_values_are_whatever_names_came_between() {
    let id = "9c1a3519-abd2-4563-a581-6e39b7adb674";
    for names in [1, 60, 63, 64, 65, 128, 200] {
        let inner: Vec<_> = (0..names)
            .chain(0..names)
            .map(|number| format!("\\\"k{number}\\\":\\\"{id}\\\""))
            .flat_map(|member| [member.clone(), member])
            .collect();
        let body = format!(
            "[{{\"born\": 1}}, {{\"born\": [\"{{{}}}\", \"1985-03-12T00:00:00Z\"]}}]",
            inner.join(",")
        );
        let shared = plan(json!({}));
        for _ in 0..3 {
            let output = whole(&shared, Media::Json, body.as_bytes());
            assert_eq!(
                String::from_utf8_lossy(&output),
                body.replace("1985-03-12T", "[DATE_OF_BIRTH]T"),
                "{names}"
            );
        }
    }
}

#[test]
fn what_stands_under_a_telling_name_is_found_where_the_document_ends_being_one() {
    for (value, masked) in [
        (r#"{"ssn": 078051120}"#, r#"{"ssn": [US_SSN]}"#),
        (r#"{"ssn": 178051120]}"#, r#"{"ssn": [US_SSN]]}"#),
        (r#"{"ssn": 178051120 "a"}"#, r#"{"ssn": [US_SSN] "a"}"#),
        (r#"{"ssn": x 178051120}"#, r#"{"ssn": x [US_SSN]}"#),
        (r#"{"mobile": 777777770200]40en":"#, r#"{"mobile": [PHONE]]40en":"#),
        (r#"{"ssn": [178051120}"#, r#"{"ssn": [[US_SSN]}"#),
    ] {
        assert_eq!(detected(value), masked);
        assert_eq!(detected(&format!("[{value}")), format!("[{masked}"));
    }
}

#[test]
fn detectors_look_at_strings_numbers_and_names() {
    assert_eq!(detected(r#"{"mail":"zoe.obrien@example.com"}"#), r#"{"mail":"[EMAIL]"}"#);
    assert_eq!(
        detected(r#"{"a":"zoe@example.com","b":["tom@example.com", 1]}"#),
        r#"{"a":"[EMAIL]","b":["[EMAIL]", 1]}"#
    );
    assert_eq!(detected(r#"{"card":4111111111111111}"#), r#"{"card":"[PAYMENT_CARD]"}"#);
    assert_eq!(detected("[ 4111111111111111 ]"), r#"[ "[PAYMENT_CARD]" ]"#);
    assert_eq!(detected("4111111111111111"), r#""[PAYMENT_CARD]""#);
    assert_eq!(detected(r#"{"zoe@example.com":1}"#), r#"{"[EMAIL]":1}"#);
    assert_eq!(detected(r#"{"zoe\u0040example.com":1}"#), r#"{"[EMAIL]":1}"#);
}

#[test]
fn the_name_of_a_member_is_context_for_its_value() {
    assert_eq!(detected(r#"{"ssn":"078051120"}"#), r#"{"ssn":"[US_SSN]"}"#);
    assert_eq!(detected(r#"{"ssn": 219099999}"#), r#"{"ssn": "[US_SSN]"}"#);
    assert_eq!(detected(r#"{"order": 219099999}"#), r#"{"order": 219099999}"#);
}

#[test]
fn the_name_of_a_member_is_context_for_a_document_in_its_value() {
    assert_eq!(detected(r#"{"ssn":"\"078051120\""}"#), r#"{"ssn":"\"[US_SSN]\""}"#);
    assert_eq!(
        detected(r#"{"ssn":"[\"078051120\", 219099999]"}"#),
        r#"{"ssn":"[\"[US_SSN]\", \"[US_SSN]\"]"}"#
    );
    assert_eq!(detected(r#"{"password":" \"hunter2abc\""}"#), r#"{"password":" \"[SECRETS]\""}"#);
    assert_eq!(detected(r#"{"password":"\n[\"hunter2abc\"]"}"#), r#"{"password":"\n[\"[SECRETS]\"]"}"#);
    // Inside an object every value has a name of its own.
    let other = r#"{"password":"{\"hint\":\"the usual one\"}"}"#;
    assert_eq!(detected(other), other);
}

#[test]
fn short_names_numbers_and_ids_are_no_way_round_a_custom_pattern() {
    let section = json!({"custom": [
        {"name": "word", "pattern": "canary"},
        {"name": "code", "pattern": "777"},
        {"name": "ids", "pattern": "01a20313-[0-9a-f-]{27}"}
    ]});
    assert_eq!(
        masked(section, r#"{"canary":777,"id":"01a20313-eca6-7508-b110-955be1bdf8d4"}"#),
        r#"{"[WORD]":"[CODE]","id":"[IDS]"}"#
    );
}

#[test]
fn detectors_see_through_escapes() {
    assert_eq!(detected(r#"["zoe\u0040example.com"]"#), r#"["[EMAIL]"]"#);
    assert_eq!(detected(r#"["\u0022\u007aoe@example\u002ecom, \u00eb"]"#), r#"["\u0022[EMAIL], \u00eb"]"#);
    assert_eq!(detected(r#"["a\nzoe@example.com\tb"]"#), r#"["a\n[EMAIL]\tb"]"#);
    assert_eq!(detected(r#"["\ud83d\ude00zoe@example.com\ud83d"]"#), r#"["\ud83d\ude00[EMAIL]\ud83d"]"#);
}

#[test]
fn json_inside_strings_is_masked_as_json_at_any_depth() {
    let value = json!({"mail": "zo\u{eb}@x", "note": "zoe@example.com", "ssn": "219-09-9999", "n": 4111111111111111_u64});
    let inner = value.to_string().replace("note", "n\\u006fte").replace("zoe@", "zoe\\u0040");
    for depth in 0..4 {
        let mut body = inner.clone();
        let mut expected = inner
            .replace("zoe\\u0040example.com", "[EMAIL]")
            .replace("219-09-9999", "[US_SSN]")
            .replace("4111111111111111", "\"[PAYMENT_CARD]\"");
        for _ in 0..depth {
            body = json!({"content": body, "k": [1]}).to_string();
            expected = json!({"content": expected, "k": [1]}).to_string();
        }
        assert_eq!(detected(&body), expected, "depth {depth}");
    }
}

#[test]
fn field_rules_hold_inside_strings_too() {
    let inner = json!({"ssn": [1, {"a": "b"}], "x": 1}).to_string();
    let body = json!({"content": inner}).to_string();
    assert_eq!(
        masked(json!({"fields": [{"path": "$..ssn", "with": "[SSN]"}]}), &body),
        json!({"content": inner.replace(r#"[1,{"a":"b"}]"#, r#""[SSN]""#)}).to_string()
    );
}

#[test]
fn beyond_the_limit_of_embedding_nothing_is_let_through() {
    let section = json!({"limits": {"embedded": 1}});
    let body = r#"{"a":"{\"b\":\"{\\\"c\\\":\\\"zoe\\\\u0040example.com\\\"}\"}","d":1}"#;
    assert_eq!(masked(section, body), r#"{"a":"{\"b\":\"[MASKED]\"}","d":1}"#);
}

#[test]
fn a_field_rule_masks_values_of_any_type() {
    let section = json!({"fields": [{"path": "$..ssn", "with": "[SSN]"}]});
    for value in [
        "1",
        "-1.5e3",
        "true",
        "null",
        r#""x""#,
        r#""\u0041\"x""#,
        "[]",
        "{}",
        r#"[1,[2,{"ssn":3}]]"#,
        r#"{"a":{"b":[" ]} "]}}"#,
    ] {
        assert_eq!(
            masked(section.clone(), &format!(r#"{{"a":[{{"ssn": {value} ,"b":2}}],"ssn":{value}}}"#)),
            r#"{"a":[{"ssn": "[SSN]" ,"b":2}],"ssn":"[SSN]"}"#,
            "{value}"
        );
    }
}

#[test]
fn paths_select_as_written() {
    let body = r#"{"a":[{"b":"1"},{"b":"2"},{"b":"3"}],"c":{"b":"4"},"b":"5"}"#;
    for (path, expected) in [
        ("$.a[0].b", r#"{"a":[{"b":"X"},{"b":"2"},{"b":"3"}],"c":{"b":"4"},"b":"5"}"#),
        ("$.a[1:].b", r#"{"a":[{"b":"1"},{"b":"X"},{"b":"X"}],"c":{"b":"4"},"b":"5"}"#),
        ("$.a[*].b", r#"{"a":[{"b":"X"},{"b":"X"},{"b":"X"}],"c":{"b":"4"},"b":"5"}"#),
        ("$.*.b", r#"{"a":[{"b":"1"},{"b":"2"},{"b":"3"}],"c":{"b":"X"},"b":"5"}"#),
        ("$['a','c']", r#"{"a":"X","c":"X","b":"5"}"#),
        ("$.b", r#"{"a":[{"b":"1"},{"b":"2"},{"b":"3"}],"c":{"b":"4"},"b":"X"}"#),
        ("$..b", r#"{"a":[{"b":"X"},{"b":"X"},{"b":"X"}],"c":{"b":"X"},"b":"X"}"#),
        ("$", r#""X""#),
    ] {
        assert_eq!(masked(json!({"fields": [{"path": path, "with": "X"}]}), body), expected, "{path}");
    }
}

#[test]
fn keys_hold_wherever_they_stand_in_any_case() {
    let section = json!({"detectors": [], "keys": ["ssn", {"name": "Tax_ID", "action": "redact"}]});
    assert_eq!(
        masked(section, r#"{"SSN":"x","a":{"tax_id":"y","TAX_ID":7,"s\u0073n":[1],"ssn2":1}}"#),
        r#"{"SSN":"[MASKED]","a":{"tax_id":"","TAX_ID":null,"s\u0073n":"[MASKED]","ssn2":1}}"#
    );
}

#[test]
fn actions_shape_what_takes_a_values_place() {
    let section = json!({
        "detectors": [{"name": "payment_card", "action": {"mask": {"keep": 4}}}, {"name": "email", "action": "fixed-shape"}],
        "fields": [
            {"path": "$.pin", "action": {"mask": {"keep": 1}}},
            {"path": "$.note", "with": "say \"no\"\n"},
            {"path": "$.list", "action": {"mask": {"keep": 1}}}
        ]
    });
    assert_eq!(
        masked(
            section,
            r#"{"card":"4111 1111 1111 1234 4111 1111 1111 1111","mail":"zoe@example.com","pin":"12\u0033","note":1,"list":[1]}"#
        ),
        r#"{"card":"4111 1111 1111 1234 **** **** **** 1111","mail":"xxx@xxxxxxx.xxx","pin":"**3","note":"say \"no\"\n","list":"[MASKED]"}"#
    );
}

#[test]
fn equal_values_hash_alike() {
    let section = json!({"detectors": [{"name": "email", "action": {"hash": {"key": {"env": "HASH_KEY"}}}}]});
    let masked: serde_json::Value = serde_json::from_str(&masked(
        section,
        r#"["zoe@example.com","zoe\u0040example.com","tom@example.com"]"#,
    ))
    .expect("JSON");
    assert_eq!(masked.get(0), masked.get(1));
    assert_ne!(masked.get(0), masked.get(2));
    assert!(!masked.to_string().contains("example"));
}

#[test]
fn custom_patterns_look_too() {
    let section = json!({"detectors": [], "custom": [{"name": "employee_id", "pattern": "E-\\d{6}", "with": "[EMPLOYEE]"}]});
    assert_eq!(
        masked(section, r#"{"who":"E-123456 zoe@example.com"}"#),
        r#"{"who":"[EMPLOYEE] zoe@example.com"}"#
    );
}

#[test]
fn from_a_fault_on_json_is_text() {
    for (body, expected) in [
        (r#"{"a":"zoe@example.com",,"b":"tom@example.com"}"#, r#"{"a":"[EMAIL]",,"b":"[EMAIL]"}"#),
        (r#"{"a":1}{"b":"tom\u0040example.com"}"#, r#"{"a":1}{"b":"[EMAIL]"}"#),
        ("[4111 1111 1111 1111]", "[[PAYMENT_CARD]]"),
        ("4111 1111 1111 1111", "[PAYMENT_CARD]"),
        ("4111-1111-1111-1111", "[PAYMENT_CARD]"),
        ("[219-09-9999]", "[[US_SSN]]"),
        ("zoe@example.com", "[EMAIL]"),
        ("{'mail': 'zoe@example.com'}", "{'mail': '[EMAIL]'}"),
        (r#"{"a":"zoe@example.com"#, r#"{"a":"[EMAIL]"#),
        (r#"{"a":"zoe\u0040example.com\u00"#, r#"{"a":"[EMAIL]\u00"#),
        (r#"["\x zoe@example.com"]"#, r#"["\x [EMAIL]"]"#),
        ("[\"a\u{1}b zoe@example.com\"]", "[\"a\u{1}b [EMAIL]\"]"),
        ("[4111111111111111", "[\"[PAYMENT_CARD]\""),
    ] {
        assert_eq!(detected(body), expected, "{body}");
    }
}

#[test]
fn invalid_utf_8_is_bytes() {
    let body = b"{\"a\xFF\xFE\":\"\xC3 zoe@example.com \xE2\x82\"}";
    let masked = whole(&plan(json!({})), Media::Json, body);
    assert_eq!(masked, b"{\"a\xFF\xFE\":\"\xC3 [EMAIL] \xE2\x82\"}");
    assert_eq!(in_chunks(&plan(json!({})), Media::Json, body.chunks(1), |_| ()), Ok(masked));
}

#[test]
fn malformed_json_is_cut_where_the_policy_says_so() {
    let strict = plan(json!({"malformed": "block"}));
    for body in ["{", "[1,2"] {
        // Nothing is wrong until the end: what is cut off is not the gateway's to judge.
        assert!(in_chunks(&strict, Media::Json, [body.as_bytes()], |_| ()).is_ok(), "{body}");
    }
    for body in ["{,}", "[1 2]", "zoe@example.com", "{\"a\":\"\\x\"}", "[\"\u{1}\"]", "{}{}", "[01]"] {
        let cut = in_chunks(&strict, Media::Json, [body.as_bytes()], |_| ()).expect_err(body);
        assert_eq!(cut.why, "malformed JSON");
        assert!(in_chunks(&strict, Media::Json, body.as_bytes().chunks(1), |_| ()).is_err(), "{body}");
    }
}

#[test]
fn a_text_that_only_looks_like_json_is_still_masked() {
    for (content, expected) in [
        ("[INFO] user zoe@example.com", "[INFO] user [EMAIL]"),
        ("{see below} 219-09-9999", "{see below} [US_SSN]"),
        ("[1] zoe@example.com [2]", "[1] [EMAIL] [2]"),
        ("{\"a\":1} zoe@example.com", "{\"a\":1} [EMAIL]"),
        ("\"Zoe\" <zoe@example.com>", "\"Zoe\" <[EMAIL]>"),
    ] {
        let body = json!({ "content": content }).to_string();
        assert_eq!(detected(&body), json!({ "content": expected }).to_string());
    }
}

#[test]
fn counts_name_detectors_and_rules() {
    let plan = plan(json!({"fields": [{"path": "$.x"}], "keys": ["y"]}));
    let mut masker = plan.open(Media::Json);
    let mut output = Vec::new();
    masker.push(br#"{"x":1,"y":2,"a":["zoe@example.com","tom@example.com"]}"#, &mut output).expect("no cut");
    masker.finish(&mut output).expect("no cut");
    let counts: Vec<(String, u64)> = masker.counts().map(|(name, count)| (name.to_owned(), count)).collect();
    assert_eq!(counts, [("email".to_owned(), 2), ("$.x".to_owned(), 1), ("y".to_owned(), 1)]);
}

#[test]
fn a_preview_is_masked_and_cut_to_its_limit() {
    let plan = plan(json!({}));
    let preview = plan.preview(br#"{"mail":"zoe@example.com","n":"xxxxxxxxxxxxxxxx"}"#, 20);
    assert_eq!((preview.text.as_str(), preview.truncated), (r#"{"mail":"[EMAIL]","n"#, true));
    let preview = plan.preview(b"mail zoe@example.com", 100);
    assert_eq!((preview.text.as_str(), preview.truncated), ("mail [EMAIL]", false));
}
