# Thin: ./setup installs, tools/build configures and compiles, tests/run tests.

BUILD = build
OUT = out/demo
PREFIX = /usr/local
DESTDIR =
# The stages of `make test`; `tests/run --help` lists them.
STAGES =
LINT =

.DEFAULT_GOAL := build
.PHONY: build install release deb test-packages wheel test-wheel test-arm64 demo demo-offline test bench lint sanitize docs setup clean distclean help

help:
	@echo 'make            install what is missing and build build/spoton'
	@echo 'make install    install it: PREFIX (/usr/local), DESTDIR'
	@echo 'make demo       watch a real clip as four live cameras: prints the address of the dashboard'
	@echo 'make demo-offline  track people in that clip; ends with a video to look at'
	@echo 'make test       every test: unit, integration, and under sanitizers'
	@echo 'make bench      frames/s and stage times on the demo clip'
	@echo 'make lint       clang-format and clang-tidy'
	@echo 'make sanitize   only the tests under AddressSanitizer, UBSan and ThreadSanitizer'
	@echo 'make docs       write docs/CONFIG.md anew and draw docs/pipeline.svg'
	@echo 'make release    write the source tarball of this commit and its checksum into out/release'
	@echo 'make deb        make Debian packages in out/deb'
	@echo 'make test-packages  install them in a clean Debian 12, and build and run the container image (as root; minutes)'
	@echo 'make wheel      make a Python wheel with the program, the library and what they need in out/wheel'
	@echo 'make test-wheel install it into an empty environment, and run the program and the package there'
	@echo 'make test-arm64 build for arm64, run unit tests under qemu, and compare results with this machine'
	@echo 'make clean      remove what was built; distclean: what was installed and fetched, too'

setup:
	@./setup

build: setup
	@tools/build $(BUILD) -Dopenvino=enabled

release:
	@tools/release

deb: build
	@./setup package
	@tools/deb $(BUILD)

test-packages: deb
	@./setup test
	@.venv/bin/python -m pytest -q -rs tests/packages

wheel: build
	@./setup wheel
	@tools/wheel $(BUILD)

test-wheel: wheel
	@./setup test
	@.venv/bin/python -m pytest -q -rs tests/packages/test_wheel.py

test-arm64: build
	@./setup arm64
	@tools/test-arm64 $(BUILD)

install: build
	@tools/install $(BUILD) '$(PREFIX)' '$(DESTDIR)'

demo: build
	@clip=$$(tools/fetch-demo-clip) && \
	exec $(BUILD)/spoton serve --camera c1=$$clip --camera c2=$$clip --camera c3=$$clip \
	    --camera c4=$$clip

demo-offline: build
	@clip=$$(tools/fetch-demo-clip) && \
	$(BUILD)/spoton run --camera c1=$$clip --camera c2=$$clip --camera c3=$$clip \
	    --camera c4=$$clip --out $(OUT) --video

test:
	@./setup test $(if $(LINT),lint)
	@.venv/bin/python tests/run $(if $(LINT),--lint) $(STAGES)

bench: build
	@clip=$$(tools/fetch-demo-clip) && \
	$(BUILD)/spoton bench --camera c1=$$clip --camera c2=$$clip --camera c3=$$clip --camera c4=$$clip

lint:
	@./setup lint
	@tools/lint

sanitize:
	@./setup test
	@.venv/bin/python tests/run asan tsan

docs: build
	@tools/update-docs --program $(BUILD)/spoton
	@tools/draw-diagram

clean:
	rm -rf build build-arm64 build-asan build-fuzz build-tsan out

distclean: clean
	rm -rf .venv .cache
