"""What a service is made of on one machine, and how a process serves: no Ray here.

`Front` is one gateway with all its ports, `LocalService` a whole service without a cluster, and
`serving` the loop of `rewardplane serve` over either of `LocalService` and the cluster's.
"""
