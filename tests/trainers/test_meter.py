"""What a run measures of itself, with a clock that the tests set; then one real run."""

from __future__ import annotations

import functools
import json

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM, TrainingArguments

from swift.llm.template.collate import collate
from swift.trainers import hardware, meter
from swift.trainers.base import SwiftTrainer
from swift.trainers.batching import StepPlan
from swift.trainers.callbacks import LoopCallback, ReportCallback
from swift.trainers.flops import AttentionWork, TokenWork
from swift.trainers.hardware import Device, datasheet, find_device, matmul_peak
from swift.trainers.loss import LossParts
from swift.trainers.meter import CudaMarks, Meter, Span, at_the_pace_of_the_cpu, log_row
from swift.trainers.report import losses, make_report, summary

GPU = Device('NVIDIA H200', torch.bfloat16, datasheet=989e12, measured=800e12, bandwidth=4.8e12)
WORK = TokenWork(linear=600.0, head=100.0, attention=(AttentionWork(None, 30.0, 10.0),), again=200.0, again_gated=50.0)
CPU = torch.device('cpu')


@pytest.fixture
def clock(monkeypatch):
    class Clock:
        now = 0.0
    monkeypatch.setattr(meter.time, 'perf_counter', lambda: Clock.now)
    return Clock


def batch_of(lengths, positions, counted=True):
    return {'lengths': torch.tensor(lengths), 'input_ids': torch.zeros(1, positions, dtype=torch.int64),
            'num_tokens': torch.tensor(sum(lengths) * counted)}


def parts(correct, total):
    return LossParts(torch.tensor(0.0), torch.tensor(float(correct)), torch.tensor(float(total)))


# ---- the meter

def test_a_step_is_counted_and_timed(clock):
    one = Meter(GPU, WORK, recompute='full')
    one.go_on()
    with one.waiting():
        clock.now = 1.0
    one.add_step(torch.tensor(7.0))
    one.add(parts(2, 4), batch_of([3, 5], 10))
    one.add(parts(1, 3), batch_of([4], 5))
    clock.now = 5.0
    one.end_step()
    clock.now = 100.0  # evaluation
    span = one.close(lambda sums: sums)
    pairs = (9 + 25 + 16) / 2
    assert span == Span(correct=3, total=7, tokens=12, trained=7, positions=15, flops=600 * 12 + 100 * 7 + 30 * pairs,
                        recomputed=200 * 12 + 10 * pairs, seconds=5.0, waited=1.0, steps=1, micro_batches=2)
    row = log_row(span, GPU)
    assert row['tokens'] == 12 and row['tokens_per_second'] == 12 / 5
    assert row['trained_tokens_per_second'] == 7 / 5
    assert row['padding(%)'] == pytest.approx(20) and row['data_wait(%)'] == pytest.approx(20)
    assert row['mfu(%)'] == pytest.approx(100 * span.flops / 5 / 989e12)
    assert row['mfu_measured(%)'] == pytest.approx(100 * span.flops / 5 / 800e12)
    assert 'launch_bound(%)' not in row


def test_all_processes_share_counts_and_peak():
    one = Meter(GPU, WORK, processes=2)
    one.go_on()
    one.add_step(torch.tensor(7.0))
    one.add(parts(2, 4), batch_of([3, 5], 10))
    one.end_step()
    span = one.close(lambda sums: 2 * sums)
    assert (span.tokens, span.trained, span.positions, span.correct) == (16, 14, 20, 4)
    assert span.mfu(1.0, processes=2) == pytest.approx(span.mfu(1.0) / 2)


def test_a_row_that_only_fills_a_rank_needs_nothing():
    one = Meter(GPU, WORK)
    one.go_on()
    one.add_step(torch.tensor(0.0))
    one.add(parts(0, 0), batch_of([6], 6, counted=False))
    one.end_step()
    span = one.close(lambda sums: sums)
    assert (span.tokens, span.positions, span.flops) == (0, 6, 0)


def test_the_first_row_stays_out_of_the_whole(clock):
    one = Meter(GPU, WORK)
    for seconds in (50.0, 1.0, 2.0):
        one.go_on()
        one.add_step(torch.tensor(1.0))
        one.add(parts(0, 1), batch_of([4], 4))
        clock.now += seconds
        one.end_step()
        one.close(lambda sums: sums)
        assert one.whole().seconds == {50.0: 50.0, 1.0: 1.0, 2.0: 3.0}[seconds]
    assert one.first.seconds == 50.0 and one.whole().steps == 2


def test_nothing_is_read_between_rows():
    """On the meta device reading a number raises: everything but ``close`` must do without."""
    one = Meter(GPU, WORK)
    scalar = torch.zeros((), device='meta')
    batch = {'lengths': torch.zeros(3, device='meta', dtype=torch.int64),
             'input_ids': torch.zeros(1, 9, device='meta', dtype=torch.int64), 'num_tokens': scalar}
    one.go_on()
    with one.waiting():
        pass
    one.add_step(scalar)
    one.mark(counts=False)
    one.add(LossParts(scalar, scalar, scalar), batch)
    one.mark()
    one.end_step()
    with pytest.raises((RuntimeError, NotImplementedError)):
        one.close(lambda sums: sums)


# ---- how far the GPU is behind

def test_marks_that_the_gpu_passes_at_once_were_waited_for():
    on_cpu = [0.0, 1.0, 2.0, 3.0, 4.0]
    on_gpu = [0.0, 1.04, 2.5, 3.6, 9.0]  # almost at once, then half a second behind, at last much more
    counts = [False, True, True, False, True]
    launched, total = at_the_pace_of_the_cpu(on_gpu, on_cpu, counts)
    assert launched == pytest.approx(1.04) and total == pytest.approx(1.04 + 1.46 + 5.4)


class FakeGpu:
    """A GPU that runs apart from the CPU's clock: its own begins at 7 s and is a ten-thousandth too fast."""

    def __init__(self, clock):
        self.clock, self.free_at = clock, 0.0
        gpu = self

        class Event:
            def __init__(self, enable_timing):
                assert enable_timing

            def record(self):
                self.done = max(gpu.free_at, gpu.clock.now)

            def synchronize(self):
                gpu.clock.now = max(gpu.clock.now, self.done)

            def elapsed_time(self, other):
                return 1e3 * (other.done - self.done) * 1.0001

        self.Event = Event

    def launch(self, seconds):
        self.free_at = max(self.free_at, self.clock.now) + seconds

    def current_stream(self):
        return self

    def synchronize(self):
        self.clock.now = max(self.clock.now, self.free_at)


@pytest.mark.parametrize(('launching', 'running', 'share'), [(0.01, 0.002, 1.0), (0.002, 0.01, 0.0)])
def test_who_sets_the_pace(monkeypatch, clock, launching, running, share):
    clock.now = 50.0
    gpu = FakeGpu(clock)
    monkeypatch.setattr(meter.torch, 'cuda', gpu)
    marks = CudaMarks()
    for _ in range(2):  # the second window begins with clocks of its own
        marks.start()
        for _ in range(4):
            marks.mark(counts=False)
            for _ in range(100):
                clock.now += launching
                gpu.launch(running)
            marks.mark(counts=True)
        launched, total = marks.read()
        assert total == pytest.approx(4 * 100 * max(launching, running), rel=0.02)
        assert launched / total == pytest.approx(share)
        clock.now += 30
    assert marks.read() == (0.0, 0.0)


def test_marks_are_set_in_some_steps_and_read_with_the_row():
    class Fake:
        def __init__(self):
            self.set = []

        def start(self):
            self.set.append('start')

        def mark(self, *, counts):
            self.set.append(counts)

        def read(self):
            return 1.0, 4.0

    fake = Fake()
    one = Meter(GPU, WORK, marks=fake)
    for _ in range(5):
        one.go_on()
        one.add_step(torch.tensor(1.0))
        one.mark(counts=False)
        one.add(parts(0, 1), batch_of([4], 4))
        one.mark()
        one.end_step()
    assert fake.set == ['start', False, True, True, 'start', 'start', 'start', 'start', False, True, True]
    assert log_row(one.close(lambda sums: sums), GPU)['launch_bound(%)'] == 25


# ---- peaks

@pytest.mark.parametrize(('name', 'bf16', 'bandwidth'), [
    ('NVIDIA H100 80GB HBM3', 989, 3.35), ('NVIDIA H200', 989, 4.8), ('NVIDIA H100 PCIe', 756, 2.0),
    ('NVIDIA A100-SXM4-80GB', 312, 1.935), ('NVIDIA A100-SXM4-40GB', 312, 1.555), ('NVIDIA A10', 125, 0.6),
    ('NVIDIA L40S', 362, 0.864), ('NVIDIA L4', 121, 0.3), ('Tesla T4', None, 0.32), ('NVIDIA H20', 148, 4.0),
    ('NVIDIA GeForce RTX 4090', 165.2, 1.008)])
def test_gpus_by_name(name, bf16, bandwidth):
    sheet = datasheet(name)
    assert sheet.bandwidth == bandwidth
    assert sheet.flops(torch.bfloat16) == (None if bf16 is None else bf16 * 1e12)


@pytest.mark.parametrize('name', ['NVIDIA H100 80GB HBM3 MIG 1g.10gb', 'NVIDIA A10G', 'NVIDIA GeForce RTX 4090 D',
                                  'Some GPU', 'x86_64, 2 threads'])
def test_parts_of_gpus_and_unknown_ones_have_no_datasheet(name):
    assert datasheet(name) is None


def test_the_measured_peak_is_kept_by_device_and_dtype(monkeypatch):
    measured = iter([1e9, 2e9])
    monkeypatch.setattr(hardware, '_measure', lambda device, dtype: next(measured))
    assert matmul_peak(CPU, torch.float32) == matmul_peak(CPU, torch.float32) == 1e9
    assert matmul_peak(CPU, torch.bfloat16) == 2e9
    file = hardware.env.cache_dir() / hardware.PEAKS_FILE
    assert sorted(json.loads(file.read_text()).values()) == [1e9, 2e9]
    file.write_text('{"broken')
    monkeypatch.setattr(hardware, '_measure', lambda device, dtype: 3e9)
    assert matmul_peak(CPU, torch.float32) == 3e9


def test_the_cpu_is_measured():
    device = find_device(CPU, torch.float32)
    assert device.datasheet is None and 1e8 < device.measured < 1e15


# ---- the report

SPAN = Span(tokens=900, trained=500, positions=1000, flops=300e12, recomputed=100e12, seconds=1.0, waited=0.1, steps=2,
            micro_batches=4, launched=0.25, marked=1.0)


def test_shares_add_up_to_the_whole_time():
    found = {loss.name: loss.share for loss in losses(SPAN, GPU, recompute='full', optimizer_bytes=4.8e12 * 0.01)}
    useful = 300 / 800
    assert found['data_wait'] == pytest.approx(0.1)
    assert found['padding'] == pytest.approx(0.9 * 0.1)
    assert found['recompute'] == pytest.approx(0.81 / 4)
    rest = 1 - useful - 0.1 - 0.09 - 0.81 / 4
    assert found['launches'] == pytest.approx(rest / 4)
    assert found['optimizer'] == pytest.approx(0.02)
    assert useful + sum(found.values()) == pytest.approx(1)


def test_losses_are_sorted_and_say_what_to_type():
    found = losses(SPAN, GPU, recompute='full')
    assert [loss.share for loss in found] == sorted((loss.share for loss in found), reverse=True)
    remedies = {loss.name: loss.remedy for loss in found}
    assert '--recompute selective' in remedies['recompute'] and '--padding_free' in remedies['padding']
    assert 'fewer --gradient_accumulation_steps: 250 tokens' in remedies['launches']


def test_a_report_without_peaks_tells_what_is_known():
    unknown = Device('some accelerator', torch.bfloat16)
    report = make_report(span=SPAN, first=None, device=unknown, processes=1, recompute='none', in_force=['attention x'],
                         optimizer_bytes=0, last_row={})
    assert report['reached(%)'] is None and 'mfu(%)' not in report
    assert [loss['name'] for loss in report['losses']] == ['recompute', 'data_wait', 'padding']
    assert summary(report)[-1] == 'In force: attention x. Every figure is in report.json.'


def test_the_lines_that_end_a_run():
    report = make_report(span=SPAN, first=SPAN, device=GPU, processes=1, recompute='full',
                         in_force=['fused loss head (triton)', 'recompute full'], optimizer_bytes=0,
                         last_row={'memory(GiB)': 3.0, 'loss': 1.0})
    lines = summary(report)
    assert lines[0] == ('This run reached 38 % of what this GPU can do (a bfloat16 matrix product: 800 TFLOP/s '
                        'measured; 30 % of the datasheet\'s 989).')
    assert lines[1].startswith('Largest loss: computing activations twice 20 % (--recompute selective')
    assert lines[2].startswith('Next: matrix products below the peak') and len(lines) == 4
    assert report['memory'] == {'memory(GiB)': 3.0}
    assert json.loads(json.dumps(report)) == report


# ---- in a trainer

class Rows(torch.utils.data.Dataset):
    lengths = (3, 9, 6, 6, 12, 4)

    def __len__(self):
        return len(self.lengths)

    def __getitem__(self, i):
        return {'input_ids': np.arange(5, 5 + self.lengths[i], dtype=np.int32),
                'weights': np.ones(self.lengths[i], np.float32)}


@pytest.mark.parametrize('padding_free', [True, False])
def test_a_run_counts_its_tokens_and_reports(tiny_model_dir, tmp_path, padding_free):
    model = AutoModelForCausalLM.from_pretrained(tiny_model_dir)
    arguments = TrainingArguments(output_dir=str(tmp_path), use_cpu=True, num_train_epochs=1, logging_steps=1,
                                  per_device_train_batch_size=2, report_to=[], disable_tqdm=True, save_strategy='no')
    one = Meter(Device('CPU', torch.float32, measured=1e12), WORK)
    trainer = SwiftTrainer(model=model, args=arguments, train_dataset=Rows(), plan=StepPlan(2, 1), data_seed=0,
                           data_collator=functools.partial(collate, pad_id=2, padding_free=padding_free),
                           head_takes_positions=True, meter=one)
    trainer.add_callback(LoopCallback(trainer.start_epoch, trainer.end_step))
    trainer.add_callback(ReportCallback(tmp_path, one, ['attention sdpa']))
    trainer.train()
    rows = [row for row in trainer.state.log_history if 'tokens_per_second' in row]
    whole = one.first + one.later
    assert sum(row['tokens'] for row in rows) == whole.tokens == 40 and whole.trained == 34
    assert whole.steps == whole.micro_batches == 3 and 0 < whole.waited < whole.seconds
    assert whole.flops == 600 * 40 + 100 * 34 + 30 * sum(n * n for n in Rows.lengths) / 2
    assert (max(row['padding(%)'] for row in rows) == 0) == padding_free == (whole.positions == 40)
    assert rows[-1]['memory_gradients(GiB)'] == pytest.approx(
        4 * sum(p.numel() for p in model.parameters()) / 2**30, rel=1e-4)
    assert rows[-1]['memory_optimizer(GiB)'] == pytest.approx(2 * rows[-1]['memory_gradients(GiB)'], rel=1e-3)
    report = json.loads((tmp_path / 'report.json').read_text())
    assert report['steps']['steps'] == 2 and report['in_force'] == ['attention sdpa']
