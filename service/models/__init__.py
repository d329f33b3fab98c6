"""What serves a model beside its rewards: engines, what packs their batches, and their self-test.

Knows no Ray and no gRPC. torch, transformers and vLLM are imported here alone, and only by the
engine that runs on them.
"""
