"""Randomly damaged stores, opened by the stock RocketMQ store and by cairnlog.

SPDX-License-Identifier: Apache-2.0
"""
