"""A resources server of NeMo Gym: copy this folder to resources_servers/.

Not run here: NeMo Gym 0.7 wants Python 3.13.

ng_run "+config_paths=[resources_servers/rewardplane/configs/rewardplane.yaml]"
"""

from rewardplane.integrations import nemo_gym

if __name__ == "__main__":
    nemo_gym.RewardplaneResourcesServer.run_webserver()
