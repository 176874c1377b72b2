# `make demo` and `make test` on a fresh Debian 12 need nothing but git, make, python3 and sudo.
bin := .venv/bin
paths := src tests benchmarks

.PHONY: demo test matrix faults lint types bench bench-imaging

demo:            ## the main job on a virtual lab; ARGS="--exit --json" to stop at its end
	@scripts/setup demo
	@$(bin)/python -m hostler.demo $(ARGS)

# One more than there are processors: half of the tests' time is waiting for firmware. A file stays with one worker,
# because files share a lab among their tests.
test:            ## all tests; ARGS="-k name" for some, ARGS="-n 0" to see them one by one
	@scripts/setup test
	@$(bin)/python -m pytest -n $$(($$(nproc) + 1)) --dist loadfile $(ARGS)

matrix:          ## every way a board boots, and the table in docs/boot.md; ARGS="-k uefi" for some
	@scripts/setup test
	@$(bin)/python -m pytest -m matrix tests/matrix --record $(ARGS)

faults:          ## what goes wrong with boards, and what `hostler why` says; ARGS="-k dhcp" for some
	@scripts/setup test
	@$(bin)/python -m pytest -m "qemu or faults" tests/faults --record-faults $(ARGS)

lint: types      ## style, types (of the pages, too) and who may import whom
	@$(bin)/ruff check --no-cache $(paths)
	@$(bin)/ruff format --no-cache --check $(paths)
	@$(bin)/lint-imports --no-cache
	@scripts/pages types

types:
	@scripts/setup demo
	@$(bin)/mypy

bench:           ## every benchmark beside its peers; ARGS="tftp dhcp" for some
	@scripts/setup bench
	@benchmarks/run $(ARGS)

bench-imaging:   ## writing images, again, and to many; keeps its tables in benchmarks/results; ARGS="--quick"
	@scripts/setup bench
	@$(bin)/python benchmarks/bench_imaging.py $(ARGS)
