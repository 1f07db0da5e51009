"""The label font: a cut of Noto Sans CJK SC under the SIL Open Font License 1.1 (OFL.txt)."""
