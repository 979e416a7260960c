//! Which file of an export speaks to which control of ISO/IEC 27001:2022 Annex A, with the numbers of 2013 beside.
//!
//! A gateway supplies evidence for controls; it makes nobody compliant, and the report says so.

/// A control, and what an export holds for it.
pub(super) struct Control {
    pub(super) number: &'static str,
    pub(super) of_2013: &'static str,
    pub(super) name: &'static str,
    /// What there is.
    pub(super) evidence: &'static str,
    /// Where.
    pub(super) files: &'static str,
    /// What an auditor has to look for elsewhere.
    pub(super) elsewhere: &'static str,
}

/// In the order of the standard.
pub(super) const CONTROLS: &[Control] = &[
    Control {
        number: "5.3",
        of_2013: "A.6.1.2",
        name: "Segregation of duties",
        evidence: "who asked for a privileged operation and who else agreed to it",
        files: "approvals.csv",
        elsewhere: "whether the roles themselves keep duties apart",
    },
    Control {
        number: "5.15",
        of_2013: "A.9.1.1, A.9.1.2",
        name: "Access control",
        evidence: "every call with its decision, and the rule and policy that decided it",
        files: "invocations.csv, records.jsonl",
        elsewhere: "the approved access policy that the rules express",
    },
    Control {
        number: "5.18",
        of_2013: "A.9.2.2, A.9.2.5, A.9.2.6",
        name: "Access rights",
        evidence: "per person and role what was used and when, what never was, and who is not in the directory",
        files: "access-review.csv, directory.csv",
        elsewhere: "that someone reviewed it and took rights away",
    },
    Control {
        number: "5.28",
        of_2013: "A.16.1.7",
        name: "Collection of evidence",
        evidence: "exact records with proof that none was changed, dropped or added",
        files: "records.jsonl, proof/, MANIFEST",
        elsewhere: "how the log key was handed over",
    },
    Control {
        number: "5.33",
        of_2013: "A.18.1.3",
        name: "Protection of records",
        evidence: "an append-only log with signed checkpoints; purges by retention are entries of it",
        files: "proof/checkpoint, findings.csv, records.jsonl",
        elsewhere: "retention periods as decided, backups",
    },
    Control {
        number: "5.34",
        of_2013: "A.18.1.4",
        name: "Privacy and protection of PII",
        evidence: "how many values of which kind were masked before an answer left",
        files: "invocations.csv, report.html",
        elsewhere: "what personal data may be processed at all",
    },
    Control {
        number: "8.2",
        of_2013: "A.9.2.3",
        name: "Privileged access rights",
        evidence: "privileged operations, each bound to a decision by another person, in time",
        files: "approvals.csv, invocations.csv",
        elsewhere: "how privileged roles are given",
    },
    Control {
        number: "8.3",
        of_2013: "A.9.4.1",
        name: "Information access restriction",
        evidence: "refused calls with their reasons",
        files: "invocations.csv",
        elsewhere: "access that does not pass the gate",
    },
    Control {
        number: "8.5",
        of_2013: "A.9.4.2",
        name: "Secure authentication",
        evidence: "the token behind each call: issuer, key, algorithm, times, hash",
        files: "tokens.csv",
        elsewhere: "how the identity provider authenticates people",
    },
    Control {
        number: "8.11",
        of_2013: "none",
        name: "Data masking",
        evidence: "masked values by detector, and the masked bodies as they left",
        files: "report.html, records.jsonl",
        elsewhere: "data that no detector is configured for",
    },
    Control {
        number: "8.12",
        of_2013: "none",
        name: "Data leakage prevention",
        evidence: "responses that were cut or refused because they could not be masked",
        files: "invocations.csv",
        elsewhere: "other ways out",
    },
    Control {
        number: "8.15",
        of_2013: "A.12.4.1, A.12.4.2, A.12.4.3",
        name: "Logging",
        evidence: "complete chains from every gateway, and the desk's own doings in the same log",
        files: "records.jsonl, findings.csv, proof/",
        elsewhere: "logs of other systems",
    },
    Control {
        number: "8.16",
        of_2013: "none",
        name: "Monitoring activities",
        evidence: "what does not add up: gaps, contradictions, unfinished exchanges, clocks",
        files: "findings.csv",
        elsewhere: "who acted on the findings",
    },
    Control {
        number: "8.17",
        of_2013: "A.12.4.4",
        name: "Clock synchronization",
        evidence: "times to the microsecond with the gateway that took them; clocks that went back or are apart",
        files: "findings.csv, invocations.csv",
        elsewhere: "the time source of the hosts",
    },
    Control {
        number: "8.24",
        of_2013: "A.10.1.1, A.10.1.2",
        name: "Use of cryptography",
        evidence: "signature algorithms and keys of tokens; Ed25519 and SHA-256 for the log",
        files: "tokens.csv, MANIFEST",
        elsewhere: "management of the keys",
    },
    Control {
        number: "8.26",
        of_2013: "A.14.1.2, A.14.1.3",
        name: "Application security requirements",
        evidence: "that each call was judged as an operation of the application, with its policy's digest",
        files: "invocations.csv, records.jsonl",
        elsewhere: "the requirements themselves",
    },
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_control_says_what_is_here_and_what_is_not() {
        for control in CONTROLS {
            let Control { number, of_2013, name, evidence, files, elsewhere } = control;
            for text in [number, of_2013, name, evidence, files, elsewhere] {
                assert!(!text.is_empty(), "{number}");
            }
        }
        let key = |control: &Control| {
            let (theme, number) = control.number.split_once('.').unwrap();
            (theme.parse::<u8>().unwrap(), number.parse::<u8>().unwrap())
        };
        assert!(CONTROLS.windows(2).all(|pair| key(&pair[0]) < key(&pair[1])), "in order, each once");
    }
}
