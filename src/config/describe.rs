//! Answers to DescribeConfigs.
