"""Presidio behind ext_proc: masks the body of a response that Envoy sends whole.

Its best settings for speed: only the recognisers for what is to be masked, no language model (its `NoOpNlpEngine`),
one pass over the whole body as text instead of one for each string of the JSON, warmed up before it answers.

    serve.py PORT
"""

import logging
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import tldextract
from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
from presidio_analyzer.nlp_engine import NoOpNlpEngine
from presidio_analyzer.predefined_recognizers import (
    CreditCardRecognizer,
    EmailRecognizer,
    PhoneRecognizer,
    UsSsnRecognizer,
)
from presidio_anonymizer import AnonymizerEngine
from presidio_anonymizer.entities import OperatorConfig

sys.path.insert(0, str(Path(__file__).parent))
messages, services = grpc.protos_and_services("ext_proc.proto")

# The list of suffixes that it brings, not one that it would fetch.
tldextract.extract = tldextract.TLDExtract(suffix_list_urls=())

WORDS = {
    "EMAIL_ADDRESS": "[EMAIL]",
    "PHONE_NUMBER": "[PHONE]",
    "US_SSN": "[US_SSN]",
    "CREDIT_CARD": "[PAYMENT_CARD]",
}
LARGEST_MESSAGE = 64 << 20


class Processor(services.ExternalProcessorServicer):
    def __init__(self):
        recognizers = [
            EmailRecognizer(),
            # One region instead of nine: each is a pass over the text.
            PhoneRecognizer(supported_regions=["US"]),
            UsSsnRecognizer(),
            CreditCardRecognizer(),
        ]
        registry = RecognizerRegistry(recognizers=recognizers)
        language = NoOpNlpEngine([{"lang_code": "en", "model_name": "none"}])
        self.analyzer = AnalyzerEngine(
            registry=registry, nlp_engine=language, supported_languages=["en"]
        )
        self.anonymizer = AnonymizerEngine()
        self.operators = {
            entity: OperatorConfig("replace", {"new_value": word}) for entity, word in WORDS.items()
        }
        self.masked("Reach zoe@example.com or 212-555-0182 about 536-90-4399 and 4111 1111 1111 1111.")

    def masked(self, text):
        found = self.analyzer.analyze(text, language="en", entities=list(WORDS), score_threshold=0.4)
        return self.anonymizer.anonymize(text, found, self.operators).text

    def Process(self, requests, context):
        for request in requests:
            body = self.masked(request.response_body.body.decode()).encode()
            yield messages.ProcessingResponse(
                response_body=messages.BodyResponse(
                    response=messages.CommonResponse(body_mutation=messages.BodyMutation(body=body))
                )
            )


def main():
    # It tells each request what it leaves out.
    logging.disable(logging.WARNING)
    options = [
        ("grpc.max_receive_message_length", LARGEST_MESSAGE),
        ("grpc.max_send_message_length", LARGEST_MESSAGE),
    ]
    server = grpc.server(ThreadPoolExecutor(max_workers=32), options=options)
    services.add_ExternalProcessorServicer_to_server(Processor(), server)
    server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main()
